"""The figures of a report: which there are, and those of lines and differences."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from unfooled import album, board, matrices, ranking
from unfooled.certainty import certainty
from unfooled.drawing import (
    COLOURS,
    DASHES,
    ENDS,
    FAINT,
    INK,
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
from unfooled.results import Comparison, Curve
from unfooled.statistics import Estimate
from unfooled.wording import percent, points, points_interval

if TYPE_CHECKING:
    pass

_TOP = 1.02  # of an axis of shares


def curves(report: Report) -> Figure:
    """Robust accuracy against eps: what the first attack says, and what the worst case says."""
    results = report.results
    first = results.first
    kinds = (first.attack, WORST)
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
        f"{first.attack} alone is what one would believe after the first attack; the worst case is "
        "what is left after all of them, image by image. An image fooled at a small eps counts as "
        "fooled at larger ones too. Bands are 95 % intervals; the dotted line marks the eps at "
        "which the question is answered.",
        f"Line charts of accuracy under attack. Under the worst case: {numbers}.",
        _curves(report, kinds, 7.1, 3.2, rows=1),
        ("recipe", "attack", "norm", "eps", *ENDS, "images"),
        tuple(
            (recipe.title, kind, first.norm, eps, *ends(one), one.images)
            for kind in kinds
            for recipe in results.featured
            for eps, one in _points(recipe.curve(kind, first.norm))
        ),
        _curves(report, kinds, 4.2, 5.6, rows=2),
    )


def _points(curve: Curve) -> list[tuple[float, Estimate]]:
    return list(zip(curve.eps, curve.robust, strict=True))


def _curves(report: Report, kinds: Sequence[str], width: float, height: float, *, rows: int) -> str:
    """A panel for each kind, in that many rows."""
    results = report.results
    first = results.first
    grid = {"rows": rows, "columns": len(kinds) // rows}
    with drawn_on(width, height, **grid, sharey=True) as (canvas, axes):
        for axis, kind in zip(axes, kinds, strict=True):
            shown = [(r, r.curve(kind, first.norm)) for r in results.featured]
            for place, (recipe, curve) in enumerate(shown):
                said = f"{recipe.title}, {kind}, eps"
                band(axis, curve.eps, curve.robust, place, said)
            title = f"{kind} alone" if kind != WORST else "Worst case of all attacks"
            axis.set_title(f"{title}, {shown[0][1].images:,} images", fontweight="bold")
            axis.set_xlabel(f"eps ({first.norm})")
            axis.set_xlim(0, first.eps[-1])
            axis.set_ylim(0, _TOP)
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axis.axvline(report.study.answer_eps, color=FAINT, lw=0.8, ls=":")
        for axis in axes[:: grid["columns"]]:
            axis.set_ylabel("read correctly")
        last = grid["columns"] - 1
        for kind, axis in list(zip(kinds, axes, strict=True))[last :: grid["columns"]]:
            own = [r.curve(kind, first.norm).robust for r in results.featured]
            # Of lines that end together, those that ran higher stand higher.
            heights = [one[-1].value / _TOP + 1e-6 * sum(e.value for e in one) for one in own]
            end_labels(axis, [r.title for r in results.featured], heights)
        canvas.tight_layout(h_pad=1.5)
        return finished(canvas)


def effects(report: Report) -> Figure:
    """Paired differences from the baseline at the study's eps, with intervals."""
    results, eps = report.results, report.study.answer_eps
    first = results.recipes[0].title if results.given else "the baseline"
    found = [
        (recipe, label, one)
        for recipe in results.recipes[1:]
        for kind, at, label, _ in _kinds(report)
        if (one := results.compared(recipe.name, kind, at)) is not None
    ]
    return Figure(
        "effects",
        f"Paired differences from {first}, at eps {eps:g}",
        "On the same seeds and images, in percentage points, with 95 % intervals; verdicts after "
        "Holm's correction.",
        "; ".join(f"{r.title}, {label}: {', '.join(_cells(one))}" for r, label, one in found),
        _effects(report, f"percentage points fewer (left) or more (right) than {first}"),
        ("recipe", "measured under", "difference", "low", "high", "p (Holm)", "verdict"),
        tuple((r.title, w, *ends(one.difference), one.p, one.verdict) for r, w, one in found),
    )


def _kinds(report: Report) -> list[tuple[str, float, str, str]]:
    """What is compared, at which eps, how it is called, and its marker."""
    eps, first = report.study.answer_eps, report.results.first.attack
    return [(CLEAN, 0.0, "no attack", "o"), (first, eps, first, "s"), (WORST, eps, WORST, "D")]


def _cells(one: Comparison) -> tuple[str, str, str]:
    return points(one.difference.value), points_interval(one.difference), one.verdict


def _effects(report: Report, words: str) -> str:
    """A row for each recipe with a line for each kind, and the numbers at the right."""
    results = report.results
    others = results.recipes[1:]
    with drawn_on(7.6, 0.75 + 0.62 * max(1, len(others))) as (canvas, axes):
        axis = axes[0]
        for row, recipe in enumerate(others):
            colour = COLOURS[(row + 1) % len(COLOURS)]
            for place, (kind, at, label, marker) in enumerate(_kinds(report)):
                one = results.compared(recipe.name, kind, at)
                if one is None:
                    continue
                change, height = one.difference, row + 0.24 * (place - 1)
                axis.plot([100 * change.low, 100 * change.high], [height] * 2, color=colour, lw=1.6)
                face = colour if kind == WORST else "white"
                where = 100 * change.value, height
                (mark,) = axis.plot(*where, marker, color=colour, mfc=face, ms=5)
                number, spread, verdict = _cells(one)
                tip(mark, f"{recipe.title}, {label}: {number} points ({spread}), {verdict}")
                for x, cell, side in (
                    (1.04, label, "left"),
                    (1.42, number, "right"),
                    (1.46, spread, "left"),
                    (1.86, verdict, "left"),
                ):
                    axis.text(
                        x,
                        height,
                        cell,
                        transform=axis.get_yaxis_transform(),
                        ha=side,
                        va="center",
                        fontsize=7,
                        fontweight="bold" if kind == WORST else "normal",
                    )
            if row:
                axis.axhline(row - 0.5, color=FAINT, lw=0.3)
        axis.axvline(0, color=INK, lw=0.8)
        axis.set_yticks(range(len(others)), [recipe.title for recipe in others])
        axis.set_ylim(len(others) - 0.5, -0.5)
        axis.set_xlabel(words)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        canvas.subplots_adjust(right=0.5)
        return finished(canvas)


def learning(report: Report) -> Figure:
    """Validation accuracy and training loss, epoch by epoch, each seed a line."""
    shown = report.results.featured
    last = [np.mean([history[-1]["validation"] or 0.0 for history in r.history]) for r in shown]
    with drawn_on(7.1, 2.7, columns=2) as (canvas, axes):
        for place, recipe in enumerate(shown):
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
            for history in recipe.history:
                epochs = range(1, len(history) + 1)
                for axis, key in zip(axes, ("validation", "loss"), strict=True):
                    values = [float(epoch[key] or 0) for epoch in history]
                    axis.plot(epochs, values, color=colour, ls=dash, lw=0.9)
        axes[0].set_title("Validation accuracy, without attack", fontweight="bold")
        axes[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f} %")
        lowest = min(h[-1]["validation"] or 0 for r in shown for h in r.history)
        axes[0].set_ylim(max(0.0, 1 - 3 * (1 - lowest) - 0.01), 1.0)
        axes[1].set_title("Training loss", fontweight="bold")
        axes[1].set_yscale("log")
        axes[1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        longest = max(len(history) for recipe in shown for history in recipe.history)
        for axis in axes:
            axis.set_xlabel("epoch")
            axis.set_xlim(1, max(longest, 2))
            axis.locator_params(axis="x", integer=True)
        low, high = np.log(axes[1].get_ylim())
        losses = [np.mean([float(h[-1]["loss"] or 0) for h in r.history]) for r in shown]
        heights = [(np.log(max(one, np.exp(low))) - low) / (high - low) for one in losses]
        end_labels(axes[1], [recipe.title for recipe in shown], heights)
        canvas.tight_layout()
        svg = finished(canvas)
    told = [f"{r.title} ends at {percent(float(one))}" for r, one in zip(shown, last, strict=True)]
    return Figure(
        "learning",
        "Learning curves",
        "One line for each seed. The loss is each recipe's own, on its own transformed images, so "
        "its height cannot be compared between recipes.",
        f"Line charts over epochs. Mean validation accuracy: {'; '.join(told)}.",
        svg,
        ("recipe", "seed", "epoch", "validation accuracy", "training loss"),
        tuple(
            (recipe.title, seed, epoch, one["validation"] or 0.0, one["loss"] or 0.0)
            for recipe in shown
            for seed, history in zip(recipe.seeds, recipe.history, strict=True)
            for epoch, one in enumerate(history, 1)
        ),
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
    found += [album.digits(report, recipe) for recipe in shown if recipe.name in report.pictures]
    look = album.inside(report)
    every = {figure.name: figure for figure in [*found, *([look] if look else [])]}
    return MappingProxyType(every)
