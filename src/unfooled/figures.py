"""Figures as SVG, each with a sentence for those who cannot see it.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; line styles and markers keep
them apart in grey as well.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unfooled.answer import percent, points, points_interval
from unfooled.outcomes import CLEAN, WORST
from unfooled.report import Report
from unfooled.results import Curve, RecipeResult
from unfooled.statistics import Estimate
from unfooled.targeted import Targeted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#AA6FA0", "#E69F00", "#56B4E9", "#8C8C00")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 4)))
_WRONG, _INK, _FAINT = "#B03000", "#222222", "#888888"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "unfooled",
    "text.parse_math": False,  # a recipe's title may hold a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "image.interpolation": "nearest",
}


@dataclass(frozen=True)
class Figure:
    """A picture for a report.

    Attributes:
        name: of its file.
        title: one line above it.
        text: what there is to see, for the caption.
        alt: the same in numbers, for a screen reader.
        svg: the picture.
    """

    name: str
    title: str
    text: str
    alt: str
    svg: str


def curves(report: Report) -> Figure:
    """Robust accuracy against eps: what the first attack says, and what the worst case says."""
    results = report.results
    first = results.first
    kinds = [first.attack, WORST]
    with _canvas(7.1, 3.2, columns=2, sharey=True) as (canvas, axes):
        for axis, kind in zip(axes, kinds, strict=True):
            shown = [(r, r.curve(kind, first.norm)) for r in results.recipes]
            for place, (_, curve) in enumerate(shown):
                _band(axis, curve, place)
            title = f"{kind} alone" if kind != WORST else "Worst case of all attacks"
            axis.set_title(f"{title}, {shown[0][1].images:,} images")
            axis.set_xlabel(f"eps ({first.norm})")
            axis.set_xlim(0, first.eps[-1])
            axis.set_ylim(0, 1.02)
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axis.axvline(report.study.answer_eps, color=_FAINT, lw=0.8, ls=":")
        axes[0].set_ylabel("read correctly")
        _end_labels(axes[1], [(r.title, r.curve(WORST, first.norm)) for r in results.recipes])
        svg = _svg(canvas)
    numbers = "; ".join(
        f"{r.title}: "
        + ", ".join(
            f"{percent(e.value)} at eps {eps:g}"
            for eps, e in zip(
                r.curve(WORST, first.norm).eps, r.curve(WORST, first.norm).robust, strict=True
            )
        )
        for r in results.recipes
    )
    return Figure(
        "curves",
        "Robust accuracy against the size of the change",
        "Left, what one would believe after the first attack alone; right, after all attacks, "
        "image by image. An image fooled at a small eps counts as fooled at larger ones too. "
        "Bands are 95 % intervals. The dotted line marks the eps at which the question is "
        "answered.",
        f"Line charts of accuracy under attack. Under the worst case: {numbers}.",
        svg,
    )


def effects(report: Report) -> Figure:
    """Paired differences from the baseline at the study's eps, with intervals."""
    results, eps = report.results, report.study.answer_eps
    first = results.first.attack
    kinds = [(CLEAN, 0.0, "no attack", "o"), (first, eps, first, "s"), (WORST, eps, WORST, "D")]
    others = results.recipes[1:]
    with _canvas(7.6, 0.75 + 0.62 * max(1, len(others))) as (canvas, axes):
        axis, told = axes[0], []
        for row, recipe in enumerate(others):
            colour = _COLOURS[(row + 1) % len(_COLOURS)]
            for place, (kind, at, label, marker) in enumerate(kinds):
                one = results.compared(recipe.name, kind, at)
                if one is None:
                    continue
                change, height = one.difference, row + 0.24 * (place - 1)
                axis.plot([100 * change.low, 100 * change.high], [height] * 2, color=colour, lw=1.6)
                face = colour if kind == WORST else "white"
                axis.plot(100 * change.value, height, marker, color=colour, mfc=face, ms=5)
                cells = (label, points(change.value), points_interval(change), one.verdict)
                for x, cell in zip((1.04, 1.42, 1.46, 1.86), cells, strict=True):
                    axis.text(
                        x,
                        height,
                        cell,
                        transform=axis.get_yaxis_transform(),
                        ha="right" if cell is cells[1] else "left",
                        va="center",
                        fontsize=7,
                        fontweight="bold" if kind == WORST else "normal",
                    )
                told.append(f"{recipe.title}, {label}: {', '.join(cells[1:])}")
            if row:
                axis.axhline(row - 0.5, color=_FAINT, lw=0.3)
        axis.axvline(0, color=_INK, lw=0.8)
        axis.set_yticks(range(len(others)), [recipe.title for recipe in others])
        axis.set_ylim(len(others) - 0.5, -0.5)
        axis.set_xlabel("percentage points fewer (left) or more (right) than the baseline")
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        canvas.subplots_adjust(right=0.5)
        svg = _svg(canvas)
    return Figure(
        "effects",
        f"Paired differences from the baseline, at eps {eps:g}",
        "On the same seeds and images, in percentage points, with 95 % intervals; verdicts after "
        "Holm's correction.",
        "; ".join(told),
        svg,
    )


def digits(report: Report, recipe: RecipeResult) -> Figure:
    """One test image of each class before and after the attack, with what the network reads."""
    seen = report.pictures[recipe.name]
    classes = report.environment["data"]["classes"]
    eps = [0.0, *(threat.eps for threat in report.study.sweeps[0].threats)]
    rows = sorted({round(place) for place in np.linspace(0, len(eps) - 1, 4)})
    images, reads, labels = seen["images"], seen["read_as"], seen["labels"]
    count, told = len(labels), []
    with _canvas(7.1, 0.86 * len(rows) + 0.2, rows=len(rows), columns=count) as (canvas, axes):
        for line, row in enumerate(rows):
            for column in range(count):
                axis = axes[line * count + column]
                axis.imshow(_shown(images[row, column]), cmap="gray_r", vmin=0, vmax=255)
                axis.set_xticks([])
                axis.set_yticks([])
                read = int(reads[row, column])
                name = classes[read] if 0 <= read < len(classes) else "nothing"
                wrong = read != labels[column]
                for spine in axis.spines.values():
                    spine.set_visible(wrong)
                    spine.set_color(_WRONG)
                axis.set_title(
                    name,
                    loc="center",
                    pad=2,
                    fontsize=8 if len(name) < 4 else 5.5,
                    color=_WRONG if wrong else _INK,
                    fontweight="bold" if wrong else "normal",
                )
            axes[line * count].set_ylabel(f"eps {eps[row]:g}", rotation=0, ha="right", va="center")
            right = int((reads[row] == np.arange(count)).sum())
            told.append(f"at eps {eps[row]:g} it reads {right} of {count} correctly")
        canvas.subplots_adjust(0.08, 0.01, 0.995, 0.93, wspace=0.12, hspace=0.32)
        svg = _svg(canvas, tight=False)
    title = report.study.sweeps[0].title
    return Figure(
        f"digits-{recipe.name}",
        f"{recipe.title}: the same images under {title}",
        "Above each image, what the network of seed 0 reads; bold and framed where it is wrong.",
        f"Test images of each class, attacked with growing eps; {'; '.join(told)}.",
        svg,
    )


def confusion(report: Report) -> Figure:
    """Which classes are read as which, for the baseline and the first recipe under study."""
    classes = report.environment["data"]["classes"]
    pair = [report.results.recipes[0], *(_asked(report)[:1])]
    with _canvas(7.1, 3.7, columns=len(pair)) as (canvas, axes):
        for axis, recipe in zip(axes, pair, strict=True):
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
                        color="white" if value > 0.5 else _INK,
                    )
            long = max(map(len, classes)) > 2
            axis.set_xticks(range(len(classes)), classes, rotation=90 if long else 0)
            axis.set_yticks(range(len(classes)), classes)
            axis.set_xlabel("read as")
            axis.set_title(recipe.title)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("true class")
        svg = _svg(canvas)
    told = [f"{recipe.title}: {_most_confused(recipe, classes)}" for recipe in pair]
    return Figure(
        "confusion",
        f"Which class is read as which, at eps {report.study.answer_eps:g}",
        "Per cent of the images of each class (row), under the worst case, over all seeds; the "
        "diagonal is what survives.",
        f"Tables of true against read class. Most frequent mistakes: {'; '.join(told)}.",
        svg,
    )


def targeted(report: Report) -> list[Figure]:
    """For each attack with targets, at each eps, a table of source against target classes.

    Only for targets that are tried for many pairs of classes; the baseline, then the recipes under
    study, then the positive control.
    """
    shown = [r.name for r in _shown_recipes(report)]
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
    with _canvas(7.1, 3.75 * lines, rows=lines, columns=2) as (canvas, axes):
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
        svg = _svg(canvas)
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
    )


def _cell(axis: "Axes", column: int, row: int, cell: Estimate) -> None:
    colour = "white" if cell.value > 0.5 else _INK
    how: dict[str, Any] = {"ha": "center", "color": colour}
    axis.text(column, row + 0.06, f"{100 * cell.value:.0f}", va="bottom", fontsize=5.8, **how)
    ends = f"{100 * cell.low:.0f}\N{EN DASH}{100 * cell.high:.0f}"
    axis.text(column, row + 0.12, ends, va="top", fontsize=3.6, **how)


def learning(report: Report) -> Figure:
    """Validation accuracy and training loss, epoch by epoch, each seed a line."""
    told = []
    with _canvas(7.1, 2.7, columns=2) as (canvas, axes):
        for place, recipe in enumerate(report.results.recipes):
            colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
            for seed, history in enumerate(recipe.history):
                epochs = range(1, len(history) + 1)
                label = recipe.title if seed == 0 else None
                for axis, key in zip(axes, ("validation", "loss"), strict=True):
                    values = [float(epoch[key] or 0) for epoch in history]
                    axis.plot(epochs, values, color=colour, ls=dash, lw=0.9, label=label)
            last = [history[-1]["validation"] or 0.0 for history in recipe.history]
            told.append(f"{recipe.title} ends at {percent(float(np.mean(last)))}")
        axes[0].set_title("Validation accuracy, without attack")
        axes[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f} %")
        lowest = min(h[-1]["validation"] or 0 for r in report.results.recipes for h in r.history)
        axes[0].set_ylim(max(0.0, 1 - 3 * (1 - lowest) - 0.01), 1.0)
        axes[1].set_title("Training loss")
        axes[1].set_yscale("log")
        axes[1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for axis in axes:
            axis.set_xlabel("epoch")
            axis.locator_params(axis="x", integer=True)
        axes[1].legend(frameon=False, fontsize=7)
        svg = _svg(canvas)
    return Figure(
        "learning",
        "Learning curves",
        "One line for each seed. The loss is each recipe's own, on its own transformed images, so "
        "its height cannot be compared between recipes.",
        f"Line charts over epochs. Mean validation accuracy: {'; '.join(told)}.",
        svg,
    )


def inside(report: Report) -> Figure | None:
    """The filters of the first convolution and what they answer to one image."""
    baseline = report.results.recipes[0]
    seen = report.pictures.get(baseline.name, {})
    if not len(seen.get("filters", ())):
        return None
    filters, maps = seen["filters"][:16], seen["maps"][:16]
    with _canvas(7.1, 1.2, rows=2, columns=len(filters)) as (canvas, axes):
        largest = float(np.abs(filters).max())
        for place, (one, answer) in enumerate(zip(filters, maps, strict=True)):
            axes[place].imshow(one.mean(axis=0), cmap="RdBu_r", vmin=-largest, vmax=largest)
            axes[len(filters) + place].imshow(np.maximum(answer, 0), cmap="gray_r")
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("filter", rotation=0, ha="right", va="center")
        axes[len(filters)].set_ylabel("answer", rotation=0, ha="right", va="center")
        canvas.subplots_adjust(0.07, 0.02, 0.995, 0.98, wspace=0.25, hspace=0.2)
        svg = _svg(canvas, tight=False)
    label = report.environment["data"]["classes"][-1]
    return Figure(
        "inside",
        "What the first convolution learned",
        f"Above, {len(filters)} filters of the first convolution (blue: negative weights, red: "
        f"positive); below, where and how strongly each answers to one image of a {label}.",
        f"{len(filters)} small filters and the feature maps they produce.",
        svg,
    )


def all_figures(report: Report) -> dict[str, Figure]:
    """Every figure of a report, by name."""
    shown = _shown_recipes(report)
    found = [curves(report), confusion(report), learning(report), *targeted(report)]
    found += [effects(report)] if report.results.comparisons else []
    found += [digits(report, recipe) for recipe in shown if recipe.name in report.pictures]
    look = inside(report)
    return {figure.name: figure for figure in [*found, *([look] if look else [])]}


def _shown_recipes(report: Report) -> list[RecipeResult]:
    """The baseline, the recipes under study, and the positive controls."""
    controls = [r for r in report.results.recipes if r.control == "positive"]
    return [report.results.recipes[0], *_asked(report), *controls]


def _asked(report: Report) -> list[RecipeResult]:
    return [recipe for recipe in report.results.recipes[1:] if not recipe.control]


def _band(axis: "Axes", curve: Curve, place: int) -> None:
    colour = _COLOURS[place % len(_COLOURS)]
    low, high = [e.low for e in curve.robust], [e.high for e in curve.robust]
    axis.fill_between(curve.eps, low, high, color=colour, alpha=0.15, lw=0)
    values = [e.value for e in curve.robust]
    axis.plot(curve.eps, values, color=colour, ls=_DASHES[place % len(_DASHES)], lw=1.5)


def _end_labels(axis: "Axes", named: Sequence[tuple[str, Curve]]) -> None:
    """The names at the right of their lines, pushed apart where they would overlap."""
    order = sorted(range(len(named)), key=lambda place: named[place][1].robust[-1].value)
    height = -0.06
    for place in order:
        title, curve = named[place]
        height = max(height + 0.08, curve.robust[-1].value)
        colour, right = _COLOURS[place % len(_COLOURS)], curve.eps[-1]
        sample = [1.04 * right, 1.16 * right]
        dash = _DASHES[place % len(_DASHES)]
        axis.plot(sample, [height] * 2, color=colour, ls=dash, lw=1.5, clip_on=False)
        axis.text(1.19 * right, height, title, color=colour, va="center", fontsize=7.5)


def _most_confused(recipe: RecipeResult, classes: Sequence[str]) -> str:
    table = np.array(recipe.confusion)[:, : len(classes)].copy()
    np.fill_diagonal(table, 0)
    order = np.argsort(table, axis=None)[::-1][:3]
    return ", ".join(
        f"{classes[row]} as {classes[column]} ({percent(table[row, column], 0)})"
        for row, column in (divmod(int(place), len(classes)) for place in order)
    )


def _shown(image: np.ndarray) -> np.ndarray:
    """Channels last for colour, no channel for grey."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


@contextmanager
def _canvas(
    width: float, height: float, *, rows: int = 1, columns: int = 1, sharey: bool = False
) -> Iterator[tuple["Canvas", list["Axes"]]]:
    """A figure of that size in inches and its axes, row by row; no window system is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Made

    with mpl.rc_context(_STYLE):
        canvas = Made(figsize=(width, height))
        axes = canvas.subplots(rows, columns, squeeze=False, sharey=sharey)
        yield canvas, list(axes.flat)


def _svg(canvas: "Canvas", *, tight: bool = True) -> str:
    buffer = io.StringIO()
    how: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.02} if tight else {}
    canvas.savefig(buffer, format="svg", metadata={"Date": None}, **how)
    return buffer.getvalue()
