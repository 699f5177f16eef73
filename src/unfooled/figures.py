"""The figures of a report: lines, differences, digits, learning, filters."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from unfooled import board, matrices, ranking
from unfooled.certainty import certainty
from unfooled.drawing import COLOURS, DASHES, FAINT, INK, WRONG, Figure, drawn_on, finished
from unfooled.outcomes import CLEAN, WORST
from unfooled.report import Report
from unfooled.results import Curve, RecipeResult
from unfooled.wording import percent, points, points_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(report: Report) -> Figure:
    """Robust accuracy against eps: what the first attack says, and what the worst case says."""
    results = report.results
    first = results.first
    kinds = [first.attack, WORST]
    with drawn_on(7.1, 3.2, columns=2, sharey=True) as (canvas, axes):
        for axis, kind in zip(axes, kinds, strict=True):
            shown = [(r, r.curve(kind, first.norm)) for r in results.featured]
            for place, (_, curve) in enumerate(shown):
                _band(axis, curve, place)
            title = f"{kind} alone" if kind != WORST else "Worst case of all attacks"
            axis.set_title(f"{title}, {shown[0][1].images:,} images")
            axis.set_xlabel(f"eps ({first.norm})")
            axis.set_xlim(0, first.eps[-1])
            axis.set_ylim(0, 1.02)
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axis.axvline(report.study.answer_eps, color=FAINT, lw=0.8, ls=":")
        axes[0].set_ylabel("read correctly")
        _end_labels(axes[1], [(r.title, r.curve(WORST, first.norm)) for r in results.featured])
        svg = finished(canvas)
    numbers = "; ".join(
        f"{r.title}: "
        + ", ".join(
            f"{percent(e.value)} at eps {eps:g}"
            for eps, e in zip(
                r.curve(WORST, first.norm).eps, r.curve(WORST, first.norm).robust, strict=True
            )
        )
        for r in results.featured
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
    with drawn_on(7.6, 0.75 + 0.62 * max(1, len(others))) as (canvas, axes):
        axis, told = axes[0], []
        for row, recipe in enumerate(others):
            colour = COLOURS[(row + 1) % len(COLOURS)]
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
                axis.axhline(row - 0.5, color=FAINT, lw=0.3)
        axis.axvline(0, color=INK, lw=0.8)
        axis.set_yticks(range(len(others)), [recipe.title for recipe in others])
        axis.set_ylim(len(others) - 0.5, -0.5)
        first = results.recipes[0].title if results.given else "the baseline"
        axis.set_xlabel(f"percentage points fewer (left) or more (right) than {first}")
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        canvas.subplots_adjust(right=0.5)
        svg = finished(canvas)
    return Figure(
        "effects",
        f"Paired differences from {first}, at eps {eps:g}",
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
    with drawn_on(7.1, 0.86 * len(rows) + 0.2, rows=len(rows), columns=count) as (canvas, axes):
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
                    spine.set_color(WRONG)
                axis.set_title(
                    name,
                    loc="center",
                    pad=2,
                    fontsize=8 if len(name) < 4 else 5.5,
                    color=WRONG if wrong else INK,
                    fontweight="bold" if wrong else "normal",
                )
            axes[line * count].set_ylabel(f"eps {eps[row]:g}", rotation=0, ha="right", va="center")
            right = int((reads[row] == np.arange(count)).sum())
            told.append(f"at eps {eps[row]:g} it reads {right} of {count} correctly")
        canvas.subplots_adjust(0.08, 0.01, 0.995, 0.93, wspace=0.12, hspace=0.32)
        svg = finished(canvas, tight=False)
    title = report.study.sweeps[0].title
    return Figure(
        f"digits-{recipe.name}",
        f"{recipe.title}: the same images under {title}",
        "Above each image, what the network of seed 0 reads; bold and framed where it is wrong.",
        f"Test images of each class, attacked with growing eps; {'; '.join(told)}.",
        svg,
    )


def learning(report: Report) -> Figure:
    """Validation accuracy and training loss, epoch by epoch, each seed a line."""
    told = []
    with drawn_on(7.1, 2.7, columns=2) as (canvas, axes):
        for place, recipe in enumerate(report.results.featured):
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
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
        lowest = min(h[-1]["validation"] or 0 for r in report.results.featured for h in r.history)
        axes[0].set_ylim(max(0.0, 1 - 3 * (1 - lowest) - 0.01), 1.0)
        axes[1].set_title("Training loss")
        axes[1].set_yscale("log")
        axes[1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for axis in axes:
            axis.set_xlabel("epoch")
            axis.locator_params(axis="x", integer=True)
        axes[1].legend(frameon=False, fontsize=7)
        svg = finished(canvas)
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
    with drawn_on(7.1, 1.2, rows=2, columns=len(filters)) as (canvas, axes):
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
        svg = finished(canvas, tight=False)
    label = report.environment["data"]["classes"][-1]
    return Figure(
        "inside",
        "What the first convolution learned",
        f"Above, {len(filters)} filters of the first convolution (blue: negative weights, red: "
        f"positive); below, where and how strongly each answers to one image of a {label}.",
        f"{len(filters)} small filters and the feature maps they produce.",
        svg,
    )


@lru_cache(maxsize=1)
def all_figures(report: Report) -> Mapping[str, Figure]:
    """Every figure of a report, by name; drawn once for all the pages that show them."""
    results = report.results
    shown = [recipe for recipe in results.featured if recipe.control != "sham"]
    found = [curves(report), matrices.confusion(report)]
    found += [] if report.study.given else [learning(report)]
    found += matrices.targeted(report)
    found += [one for one in [certainty(report)] if one is not None]
    if results.comparisons:
        found += [board.board(report)]
        found += [ranking.ranked(report)] if ranking.many(report) else [effects(report)]
        found += [*ranking.doses(report), *ranking.bundles(report)]
    found += [digits(report, recipe) for recipe in shown if recipe.name in report.pictures]
    look = inside(report)
    every = {figure.name: figure for figure in [*found, *([look] if look else [])]}
    return MappingProxyType(every)


def _band(axis: "Axes", curve: Curve, place: int) -> None:
    colour = COLOURS[place % len(COLOURS)]
    low, high = [e.low for e in curve.robust], [e.high for e in curve.robust]
    axis.fill_between(curve.eps, low, high, color=colour, alpha=0.15, lw=0)
    values = [e.value for e in curve.robust]
    axis.plot(curve.eps, values, color=colour, ls=DASHES[place % len(DASHES)], lw=1.5)


def _end_labels(axis: "Axes", named: Sequence[tuple[str, Curve]]) -> None:
    """The names at the right of their lines, pushed apart where they would overlap."""
    order = sorted(range(len(named)), key=lambda place: named[place][1].robust[-1].value)
    height = -0.06
    for place in order:
        title, curve = named[place]
        height = max(height + 0.08, curve.robust[-1].value)
        colour, right = COLOURS[place % len(COLOURS)], curve.eps[-1]
        sample = [1.04 * right, 1.16 * right]
        dash = DASHES[place % len(DASHES)]
        axis.plot(sample, [height] * 2, color=colour, ls=dash, lw=1.5, clip_on=False)
        axis.text(1.19 * right, height, title, color=colour, va="center", fontsize=7.5)


def _shown(image: np.ndarray) -> np.ndarray:
    """Channels last for colour, no channel for grey."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)
