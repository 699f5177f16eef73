"""Several runs side by side: the same page as of one run, of what can be laid beside each other.

Runs differ in data, networks or recipes, so nothing is tested between them; each keeps its own
answer, its own intervals and its own audit.
"""

from collections.abc import Mapping

from unfooled import colophon
from unfooled.drawing import ENDS, FAINT, Cell, Figure, band, drawn_on, ends, finished
from unfooled.grid import Table
from unfooled.outcomes import WORST
from unfooled.page import Page, Section, limits, steps
from unfooled.report import Report
from unfooled.results import RecipeResult
from unfooled.wording import interval, quoted

_COLUMNS = 2  # panels in a row


def beside(reports: Mapping[str, Report]) -> Page:
    """The page of several runs, by their names; at least two."""
    questions = list(dict.fromkeys(one.study.question for one in reports.values()))
    said = (f"{quoted(name)}: {one.answer.short}" for name, one in reports.items())
    return Page(
        title=questions[0] if len(questions) == 1 else f"{len(reports)} runs side by side",
        subtitle=", ".join(
            f"{name} ({one.environment['data']['name']})" for name, one in reports.items()
        ),
        short=f"{len(reports)} runs, {len(reports)} answers.",
        sentence=" ".join(said),
        sure=(
            "Each run is judged by itself, with its own seeds, controls and checks, below. Nothing "
            "is tested between runs: they differ in more than one thing.",
        ),
        doubts=tuple(
            f"{name}: {doubt.sentence}"
            for name, one in reports.items()
            for doubt in one.answer.doubts
            if doubt.serious
        ),
        steps=_table(reports),
        lead=_curves(reports),
        limits=" ".join(dict.fromkeys(map(limits, reports.values()))),
        sections=tuple(_section(name, one) for name, one in reports.items()),
    )


def _titles(reports: Mapping[str, Report]) -> list[str]:
    """Of all recipes, in the order in which they are met."""
    return list(
        dict.fromkeys(recipe.title for one in reports.values() for recipe in one.results.recipes)
    )


def _worst(report: Report, recipe: RecipeResult) -> str:
    one = recipe.curve(WORST, report.results.norm).at(report.study.answer_eps)
    return f"{100 * one.value:.1f} ({interval(one)})"


def _table(reports: Mapping[str, Report]) -> Table:
    rows = []
    for title in _titles(reports):
        cells = [title]
        for one in reports.values():
            found = [recipe for recipe in one.results.recipes if recipe.title == title]
            clean = f"{100 * found[0].clean.value:.1f}" if found else ""
            cells += [clean, _worst(one, found[0]) if found else ""]
        rows.append(tuple(cells))
    heads = [
        cell
        for name, one in reports.items()
        for cell in (f"{name}: clean", f"{one.results.norm} {one.study.answer_eps:g}")
    ]
    return Table(
        "Read correctly, in per cent",
        ("recipe", *heads),
        tuple(rows),
        "Without attack, and under the worst case of each run's attacks at its eps, with 95 % "
        "intervals. Recipes are matched by their titles.",
    )


def _curves(reports: Mapping[str, Report]) -> Figure:
    """A panel for each run: the worst case against eps; a recipe has one colour in all of them."""
    place = {title: number for number, title in enumerate(_titles(reports))}
    lines = -(-len(reports) // _COLUMNS)
    told, rows, handles = [], list[tuple[Cell, ...]](), {}
    with drawn_on(7.1, 2.9 * lines, rows=lines, columns=_COLUMNS) as (canvas, axes):
        for axis, (name, report) in zip(axes, reports.items(), strict=False):
            for recipe in report.results.featured:
                curve = recipe.curve(WORST, report.results.norm)
                said = f"{name}, {recipe.title}, eps"
                line = band(axis, curve.eps, curve.robust, place[recipe.title], said)
                handles[recipe.title] = line
                rows += [
                    (name, recipe.title, curve.norm, eps, *ends(one), one.images)
                    for eps, one in zip(curve.eps, curve.robust, strict=True)
                ]
            axis.set_title(name, fontweight="bold")
            axis.set_xlabel(f"eps ({report.results.norm})")
            axis.set_ylim(0, 1.02)
            axis.set_xlim(left=0)
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axis.axvline(report.study.answer_eps, color=FAINT, lw=0.8, ls=":")
            at = f"{report.results.norm} eps {report.study.answer_eps:g}"
            found = ", ".join(f"{r.title} {_worst(report, r)}" for r in report.results.featured)
            told.append(f"{name}, at {at}: {found}")
        for axis in axes[len(reports) :]:
            axis.set_axis_off()
        canvas.tight_layout(w_pad=2, rect=(0, 0.03 + 0.07 / lines * (1 + len(handles) // 4), 1, 1))
        canvas.legend(
            handles.values(), handles, loc="lower left", ncols=4, frameon=False, fontsize=7.5
        )
        svg = finished(canvas)
    return Figure(
        "beside",
        "The worst case of all attacks, run by run",
        "Bands are 95 % intervals; the dotted lines mark the eps at which each run answers.",
        "; ".join(told),
        svg,
        ("run", "recipe", "norm", "eps", *ENDS, "images"),
        tuple(rows),
    )


def _section(name: str, report: Report) -> Section:
    return Section(
        name,
        (f"{report.study.question} {report.answer.short} {report.answer.sentence}",),
        (steps(report), colophon.machine(report)),
    )
