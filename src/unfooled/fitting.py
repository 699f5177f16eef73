"""Slopes and multipliers, fitted to a part of one image's threat by a few steps downhill.

Any slopes between the ReLU's own and 1, and any multipliers of at least 0, give bounds that hold.
So the steps are taken in single precision, and only where they end is computed in double.

Source: slopes, Xu et al. 2021, https://arxiv.org/abs/2011.13824, section 3.1; multipliers of signs,
Wang et al. 2021, https://arxiv.org/abs/2103.06624, section 3.1.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from unfooled.condensed import Condensed, Layer, Rows, Split, whole
from unfooled.interval import Box
from unfooled.lines import Lines, leak, rectified
from unfooled.shapes import Images, Mask, PerImage

_SPEED = 0.1  # Adam's, of slopes, which lie between 0 and 1
_SLOWER = 0.97  # each step


@dataclass(frozen=True)
class Bounded:
    """Upper bounds, and how they came about.

    Attributes:
        bounds: of each row, each over its part.
        split: with the slopes and pushes of these bounds.
        units: factors that the open ReLUs' outputs had in the last step.
        farthest: an image for each row, where it may be large.
    """

    bounds: PerImage
    split: Split
    units: tuple[Float[Tensor, "m _"], ...]
    farthest: Images


def lowered(problem: Condensed, rows: Rows, split: Split, steps: int) -> Bounded:
    """Upper bounds of each row over its part, the lowest that so many steps find.

    No higher than those of the slopes and pushes as they come.
    """
    depth = len(rows.units)
    split = Split(*(tuple(some[:depth]) for some in vars(split).values()))
    first = _bounded(problem, rows, split)
    if not steps or not depth:
        return first
    slopes, pushes = _fitted(_single(problem), _single(rows), _single(split), steps)
    limits = [leak(layer.module) for layer in problem.layers]
    slopes = [
        one.to(rows.added).clamp(least, 1) for one, least in zip(slopes, limits, strict=False)
    ]
    pushes = [one.to(rows.added).clamp_min(0) for one in pushes]
    found = _bounded(problem, rows, replace(split, slopes=tuple(slopes), pushes=tuple(pushes)))
    better = found.bounds < first.bounds
    kept = [
        tuple(_chosen(better, new, old))
        for new, old in (
            (found.split.slopes, split.slopes),
            (found.split.pushes, split.pushes),
            (found.units, first.units),
        )
    ]
    return Bounded(
        torch.where(better, found.bounds, first.bounds),
        Split(split.signs, kept[0], kept[1]),
        kept[2],
        found.farthest,
    )


def tightened(problem: Condensed, steps: int) -> Condensed:
    """With the boxes of all layers but the first made smaller by so many steps."""
    for place, layer in enumerate(problem.layers):
        if not any(one.shape[1] for one in layer.rows.units):
            continue
        m = layer.box.middle.shape[1]
        up = lowered(problem, layer.rows, whole(problem, m), steps).bounds
        down = lowered(problem, -layer.rows, whole(problem, m), steps).bounds
        low = torch.maximum(layer.box.low, -down[None])
        high = torch.maximum(torch.minimum(layer.box.high, up[None]), low)
        smaller = replace(layer, box=Box.between(low, high))
        layers = (*problem.layers[:place], smaller, *problem.layers[place + 1 :])
        problem = replace(problem, layers=layers)
    return problem


def _bounded(problem: Condensed, rows: Rows, split: Split) -> Bounded:
    """The bounds of slopes and pushes as they are."""
    used = [_lines(*two) for two in zip(problem.layers, split.signs, strict=False)]
    pixels, added, units = _walked(problem, rows, used, split.slopes, split.signs, split.pushes)
    images = _images(problem, pixels)
    bounds = added + problem.region.reach(images)
    return Bounded(bounds, split, units, problem.region.farthest(images))


def _fitted(
    problem: Condensed, rows: Rows, split: Split, steps: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The slopes and pushes, of all that were met in so many steps, with the lowest bounds."""
    used = [_lines(*two) for two in zip(problem.layers, split.signs, strict=False)]
    slopes = [one.clone().requires_grad_() for one in split.slopes]
    pushes = [one.clone().requires_grad_() for one in split.pushes]
    optimiser = torch.optim.Adam([*slopes, *pushes], lr=_SPEED)
    best = rows.added.new_full((len(rows.added),), torch.inf)
    keep = [[one.detach().clone() for one in some] for some in (slopes, pushes)]
    for step in range(steps + 1):
        with torch.enable_grad():
            pixels, added, _ = _walked(problem, rows, used, slopes, split.signs, pushes)
            bounds = added + problem.region.reach(_images(problem, pixels))
            total = bounds.sum()
        better = bounds.detach() < best
        best = torch.where(better, bounds.detach(), best)
        now = (slopes, pushes)
        keep = [_chosen(better, *two) for two in zip(now, keep, strict=True)]
        if step == steps:
            break
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        optimiser.param_groups[0]["lr"] *= _SLOWER
        with torch.no_grad():
            for layer, one in zip(problem.layers, slopes, strict=False):
                one.clamp_(leak(layer.module), 1)
            for one in pushes:
                one.clamp_min_(0)
    return keep[0], keep[1]


def _walked(
    problem: Condensed,
    rows: Rows,
    used: Sequence[Lines],
    slopes: Sequence[Tensor],
    signs: Sequence[Tensor],
    pushes: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Factors of the pixels, constants, and the factors that each layer's outputs had."""
    pixels, added, left = rows.pixels, rows.added, list(rows.units)
    for place in reversed(range(len(left))):
        one, given = used[place], problem.layers[place].rows
        # Where the two lines differ, any slope between will do.
        low = torch.where(one.high_at > 0, slopes[place], one.low_slope)
        through, more = replace(one, low_slope=low).back(left[place])
        through = through + signs[place] * pushes[place]
        pixels = pixels + through @ given.pixels
        added = added + more + through @ given.added
        for before, factors in enumerate(given.units):
            left[before] = left[before] + through @ factors
    return pixels, added, tuple(one.detach() for one in left)


def _lines(layer: Layer, signs: Int8[Tensor, "m u"]) -> Lines:
    low = torch.where(signs > 0, layer.box.low.clamp_min(0), layer.box.low)
    high = torch.where(signs < 0, layer.box.high.clamp_max(0), layer.box.high)
    return rectified(layer.module, Box.between(low, high))


def _images(problem: Condensed, pixels: Tensor) -> Images:
    return pixels.view(-1, *problem.region.box.middle.shape[1:])


def _chosen(better: Mask, new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    pairs = zip(new, old, strict=True)
    return [torch.where(better[:, None], one.detach(), two) for one, two in pairs]


def _single(numbers: Any) -> Any:
    """The same in single precision."""
    if isinstance(numbers, Tensor):
        return numbers.float() if numbers.is_floating_point() else numbers
    if isinstance(numbers, tuple):
        return tuple(_single(one) for one in numbers)
    if dataclasses.is_dataclass(numbers) and not isinstance(numbers, type):
        fields = dataclasses.fields(numbers)
        return replace(numbers, **{f.name: _single(getattr(numbers, f.name)) for f in fields})
    return numbers
