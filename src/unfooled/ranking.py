"""Figures of an ablation: transformations ranked, doses, and bundles without each of their members.

All are paired differences from what they are compared with, or curves with their intervals.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unfooled.drawing import (
    ENDS,
    FAINT,
    INK,
    Cell,
    Figure,
    band,
    drawn_on,
    end_labels,
    ends,
    finished,
    tip,
)
from unfooled.outcomes import CLEAN, WORST
from unfooled.report import Report
from unfooled.results import Comparison, RecipeResult, Results
from unfooled.statistics import BETTER, HELPS, HURTS, WORSE
from unfooled.wording import percent, points, points_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HELPS, _HURTS, _NEITHER = "#0072B2", "#D55E00", "#777777"
_MANY = 8  # recipes beside the baseline; more are ranked
_HEAD = ("recipe", "difference", "low", "high", "p (Holm)", "verdict")


def many(report: Report) -> bool:
    """Whether there are so many recipes that they are ranked."""
    return len(ranks(report.results)) > _MANY


def ranks(results: Results) -> list[tuple[RecipeResult, Comparison]]:
    """The recipes that stand for themselves, best first.

    Each with its difference from the baseline under the worst case at the answer's eps.
    """
    eps, found = float(results.study["answer_eps"]), []
    for recipe in results.alone[1:]:
        one = results.compared(recipe.name, WORST, eps)
        if one is not None:
            found.append((recipe, one))
    return sorted(found, key=lambda pair: -pair[1].difference.value)


def ranked(report: Report) -> Figure:
    """Paired differences from the baseline at the study's eps, the largest gain first."""
    results, eps = report.results, report.study.answer_eps
    found, first, told = ranks(results), results.first.attack, []
    with drawn_on(7.6, 0.7 + 0.205 * len(found)) as (canvas, axes):
        axis = axes[0]
        for row, (recipe, worst) in enumerate(found):
            for kind, at, marker in ((CLEAN, 0.0, "o"), (first, eps, "s")):
                one = results.compared(recipe.name, kind, at)
                if one is not None:
                    axis.plot(100 * one.difference.value, row, marker, color=FAINT, mfc="w", ms=4)
            _interval(axis, row, worst)
            told.append(f"{recipe.title} {_told(worst)}")
        names = [
            recipe.title + (f" ({recipe.control} control)" if recipe.control else "")
            for recipe, _ in found
        ]
        _differences(axis, names, "percentage points fewer (left) or more (right) than without")
        axis.plot([], [], "o", color=FAINT, mfc="w", ms=4, label="no attack")
        axis.plot([], [], "s", color=FAINT, mfc="w", ms=4, label=first)
        axis.plot([], [], "D", color=INK, ms=4, label=WORST)
        axis.legend(frameon=False, fontsize=7, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
        canvas.subplots_adjust(right=0.62)
        svg = finished(canvas)
    return Figure(
        "effects",
        f"Ranked by what they change under the worst case, at eps {eps:g}",
        "Paired differences from the baseline on the same seeds and images, with 95 % intervals; "
        "verdicts after Holm's correction over all comparisons with the baseline. Hollow marks: "
        f"what one would believe without attack, and after {first} alone.",
        "; ".join(told),
        svg,
        _HEAD,
        tuple(_row(recipe.title, worst) for recipe, worst in found),
    )


def doses(report: Report) -> list[Figure]:
    """For each dose, accuracy without attack and under the worst case against its value."""
    return [_dose(report, place) for place in range(len(report.study.doses))]


def _dose(report: Report, place: int) -> Figure:
    results, dose = report.results, report.study.doses[place]
    have = {recipe.name: recipe for recipe in results.recipes}
    pairs = [(0.0, results.recipes[0])]
    pairs += [(v, have[n]) for v, n in zip(dose.values, dose.recipes, strict=True) if n in have]
    curve = results.recipes[0].curve(WORST, results.norm)
    first, told = results.first, []
    lines = [("no attack", [recipe.clean for _, recipe in pairs])]
    for eps in curve.eps[1:]:
        own = [recipe.curve(WORST, results.norm).at(eps) for _, recipe in pairs]
        lines.append((f"{WORST}, eps {eps:g}", own))
    answer = report.study.answer_eps
    alone = [recipe.curve(first.attack, first.norm).at(answer) for _, recipe in pairs]
    lines.append((f"{first.attack} alone, eps {answer:g}", alone))
    with drawn_on(7.1, 2.5) as (canvas, axes):
        axis, x = axes[0], [value for value, _ in pairs]
        for line, (label, estimates) in enumerate(lines):
            band(axis, x, estimates, line, f"{label}, {dose.title}")
            told.append(f"{label}: " + ", ".join(percent(e.value) for e in estimates))
        axis.set_xlabel(f"{dose.title}, {dose.unit}" if dose.unit else dose.title)
        axis.set_ylabel("read correctly")
        axis.set_ylim(0, 1)
        axis.set_xlim(0, x[-1])
        axis.set_xticks(x, [f"{value:g}" for value in x])
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        end_labels(axis, [label for label, _ in lines], [own[-1].value for _, own in lines])
        canvas.subplots_adjust(0.09, 0.18, 0.7, 0.97)
        svg = finished(canvas, tight=False)
    values = ", ".join(f"{value:g}" for value in x)
    return Figure(
        f"dose-{place}",
        f"How much of it: {dose.title}",
        "0 is the baseline. Bands are 95 % intervals; they cover the seeds and the images.",
        f"Line chart over {dose.title} at {values}. {'; '.join(told)}.",
        svg,
        (dose.title, "measured under", *ENDS),
        tuple(
            (value, label, *ends(one))
            for label, estimates in lines
            for value, one in zip(x, estimates, strict=True)
        ),
    )


def bundles(report: Report) -> list[Figure]:
    """For each bundle, what leaving out each of its members changes."""
    return [_bundle(report, place) for place in range(len(report.study.bundles))]


def _bundle(report: Report, place: int) -> Figure:
    results, bundle = report.results, report.study.bundles[place]
    eps, told = report.study.answer_eps, []
    whole = next((r.title for r in results.recipes if r.name == bundle.whole), bundle.whole)
    found = []
    for left, name in zip(bundle.left_out, bundle.recipes, strict=True):
        one = results.compared(name, WORST, eps, first=bundle.whole)
        clean = results.compared(name, CLEAN, 0.0, first=bundle.whole)
        if one is not None and clean is not None:
            found.append((f"without {left}", one, clean))
    found.sort(key=lambda row: -row[1].difference.value)
    with drawn_on(7.6, 0.75 + 0.26 * max(1, len(found))) as (canvas, axes):
        axis = axes[0]
        for row, (name, one, clean) in enumerate(found):
            axis.plot(100 * clean.difference.value, row, "o", color=FAINT, mfc="w", ms=4)
            _interval(axis, row, one)
            told.append(f"{name} {_told(one)}")
        _differences(
            axis, [name for name, _, _ in found], "percentage points more (right) without it"
        )
        canvas.subplots_adjust(right=0.62)
        svg = finished(canvas)
    return Figure(
        f"bundle-{place}",
        f"{whole}: what each member does to the whole, at eps {eps:g}",
        "Paired differences from the whole bundle under the worst case, with 95 % intervals; "
        "right of 0 the bundle is better off without it. Hollow: without attack.",
        "; ".join(told),
        svg,
        _HEAD,
        tuple(_row(name, one) for name, one, _ in found),
    )


def _interval(axis: "Axes", row: int, one: Comparison) -> None:
    """A difference with its interval, and in words at the right."""
    colour = {HELPS: _HELPS, BETTER: _HELPS, HURTS: _HURTS, WORSE: _HURTS}.get(
        one.verdict, _NEITHER
    )
    change = one.difference
    axis.plot([100 * change.low, 100 * change.high], [row] * 2, color=colour, lw=1.6)
    (mark,) = axis.plot(100 * change.value, row, "D", color=colour, ms=4.5)
    tip(mark, f"{points(change.value)} points ({points_interval(change)}), {one.verdict}")
    cells = ((1.13, points(change.value), "right"), (1.16, points_interval(change), "left"))
    for x, text, side in (*cells, (1.46, one.verdict, "left")):
        where = axis.get_yaxis_transform()
        axis.text(x, row, text, fontsize=7, transform=where, ha=side, va="center")


def _row(name: str, one: Comparison) -> tuple[Cell, ...]:
    return (name, *ends(one.difference), one.p, one.verdict)


def _told(one: Comparison) -> str:
    return f"{points(one.difference.value)} ({points_interval(one.difference)}), {one.verdict}"


def _differences(axis: "Axes", names: Sequence[str], words: str) -> None:
    """What charts of differences have in common."""
    axis.axvline(0, color=INK, lw=0.8)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel(words)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
