"""Tables of classes as pictures: what is read as what, and what can be turned into what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unfooled.drawing import ENDS, INK, Figure, drawn_on, ends, finished
from unfooled.report import Report
from unfooled.results import RecipeResult
from unfooled.statistics import Estimate
from unfooled.targeted import Targeted
from unfooled.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion(report: Report) -> Figure:
    """Which classes are read as which, for the baseline and the first recipe under study."""
    classes = report.environment["data"]["classes"]
    pair = [report.results.recipes[0], *report.results.asked[:1]]
    with drawn_on(7.1, 3.7, columns=2) as (canvas, axes):
        for axis in axes[len(pair) :]:
            axis.set_axis_off()
        for axis, recipe in zip(axes, pair, strict=False):
            table = np.array(recipe.confusion)[:, : len(classes)]
            axis.imshow(table, cmap="Greys", vmin=0, vmax=1, aspect="equal")
            for (row, column), value in np.ndenumerate(table):
                if value >= 0.005:
                    axis.text(
                        column,
                        row,
                        f"{100 * value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color="white" if value > 0.5 else INK,
                    )
            long = max(map(len, classes)) > 2
            axis.set_xticks(range(len(classes)), classes, rotation=90 if long else 0)
            axis.set_yticks(range(len(classes)), classes)
            axis.set_xlabel("read as")
            axis.set_title(recipe.title)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("true class")
        svg = finished(canvas)
    seeds = "" if report.study.given else ", over all seeds"
    told = [f"{recipe.title}: {_most_confused(recipe, classes)}" for recipe in pair]
    return Figure(
        "confusion",
        f"Which class is read as which, at eps {report.study.answer_eps:g}",
        f"Per cent of the images of each class (row), under the worst case{seeds}; the diagonal is "
        "what survives.",
        f"Tables of true against read class. Most frequent mistakes: {'; '.join(told)}.",
        svg,
        ("recipe", "true class", *(f"read as {name}" for name in classes), "read as nothing"),
        tuple(
            (recipe.title, classes[row], *shares)
            for recipe in report.results.recipes
            for row, shares in enumerate(recipe.confusion)
        ),
    )


def targeted(report: Report) -> list[Figure]:
    """For each attack with targets, at each eps, a table of source against target classes.

    Only for targets that are tried for many pairs of classes; the baseline, then the recipes under
    study, then the positive control.
    """
    shown = [r.name for r in report.results.featured if r.control != "sham"]
    kinds = dict.fromkeys((one.attack, one.norm, one.eps) for one in report.results.targeted)
    found = []
    for number, (attack, norm, eps) in enumerate(kinds):
        tables = [
            one
            for name in shown
            for one in report.results.targeted
            if (one.recipe, one.attack, one.norm, one.eps) == (name, attack, norm, eps)
            and one.extremes() is not None
        ]
        if tables:
            found.append(_targeted(report, tables, f"targeted-{number}"))
    return found


def _targeted(report: Report, tables: Sequence[Targeted], name: str) -> Figure:
    classes = report.environment["data"]["classes"]
    lines = -(-len(tables) // 2)
    with drawn_on(7.1, 3.75 * lines, rows=lines, columns=2) as (canvas, axes):
        for axis, one in zip(axes, tables, strict=False):
            values = [[np.nan if e is None else e.value for e in cells] for cells in one.cells]
            axis.imshow(values, cmap="Greys", vmin=0, vmax=1, aspect="equal")
            for row, cells in enumerate(one.cells):
                for column, cell in enumerate(cells):
                    if cell is not None:
                        _cell(axis, column, row, cell)
            long = max(map(len, classes)) > 2
            axis.set_xticks(range(len(classes)), classes, rotation=90 if long else 0)
            axis.set_yticks(range(len(classes)), classes)
            axis.set_xlabel("target: wanted to be read as")
            axis.set_ylabel("source: true class")
            axis.set_title(report.results.recipe(one.recipe).title)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        for axis in axes[len(tables) :]:
            axis.set_axis_off()
        canvas.tight_layout(h_pad=1.2)
        svg = finished(canvas)
    first = tables[0]
    told = []
    for one in tables:
        extremes = one.extremes()
        if extremes is None:
            continue
        pairs = [(place, one.cells[place[0]][place[1]]) for place in extremes]
        most, least = (
            f"{classes[row]} to {classes[column]} ({percent(cell.value, 0)})"
            for (row, column), cell in pairs
            if cell is not None
        )
        told.append(
            f"{report.results.recipe(one.recipe).title}: most often {most}, least often {least}"
        )
    return Figure(
        name,
        f"Which class can be turned into which, at {first.norm} eps {first.eps:g}",
        f"Per cent of the images of each class (row) that {first.attack.split(' to ')[0]} turns "
        "into each other class (column), over all seeds; below it the 95 % interval.",
        f"Tables of source against target class. {'; '.join(told)}.",
        svg,
        ("recipe", "source", "target", "turned", *ENDS[1:]),
        tuple(
            (report.results.recipe(one.recipe).title, classes[row], classes[column], *ends(cell))
            for one in tables
            for row, cells in enumerate(one.cells)
            for column, cell in enumerate(cells)
            if cell is not None
        ),
    )


def _cell(axis: "Axes", column: int, row: int, cell: Estimate) -> None:
    colour = "white" if cell.value > 0.5 else INK
    how: dict[str, Any] = {"ha": "center", "color": colour}
    axis.text(column, row + 0.06, f"{100 * cell.value:.0f}", va="bottom", fontsize=5.8, **how)
    ends = f"{100 * cell.low:.0f}\N{EN DASH}{100 * cell.high:.0f}"
    axis.text(column, row + 0.12, ends, va="top", fontsize=3.6, **how)


def _most_confused(recipe: RecipeResult, classes: Sequence[str]) -> str:
    table = np.array(recipe.confusion)[:, : len(classes)].copy()
    np.fill_diagonal(table, 0)
    order = np.argsort(table, axis=None)[::-1][:3]
    return ", ".join(
        f"{classes[row]} as {classes[column]} ({percent(table[row, column], 0)})"
        for row, column in (divmod(int(place), len(classes)) for place in order)
    )
