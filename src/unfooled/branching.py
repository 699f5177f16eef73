"""Branch and bound: where a bound is not enough, one for each sign of an open ReLU.

Source: Bunel et al. 2020, https://arxiv.org/abs/1909.06588, section 4; bounds of the halves as in
Wang et al. 2021, https://arxiv.org/abs/2103.06624.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unfooled.condensed import Condensed, Rows, Split, whole
from unfooled.fitting import Bounded, lowered
from unfooled.lines import leak
from unfooled.programme import settled
from unfooled.region import Cuboid
from unfooled.shapes import Images, Mask, PerImage
from unfooled.witness import Witness

_AT_ONCE = 128  # parts that are asked about together
_STEPS = 10  # of slopes and pushes, for each half


@dataclass(frozen=True)
class Branched:
    """What became of one image.

    Attributes:
        stands: no image inside the threat is misread.
        falls: one was met that is. If neither, it is not known.
    """

    stands: bool
    falls: bool


@dataclass(frozen=True)
class _Parts:
    """Parts that are still open, each of a row, and how heavy each ReLU is in them."""

    of: Int64[Tensor, " m"]
    bounds: PerImage
    split: Split
    weights: Float[Tensor, "m u"]

    def at(self, which: Int64[Tensor, " k"]) -> "_Parts":
        return _Parts(self.of[which], self.bounds[which], self.split.at(which), self.weights[which])

    def with_(self, other: "_Parts") -> "_Parts":
        return _Parts(
            torch.cat([self.of, other.of]),
            torch.cat([self.bounds, other.bounds]),
            self.split.with_(other.split),
            torch.cat([self.weights, other.weights]),
        )


def branched(
    witness: Witness, problem: Condensed, rows: Rows, *, below: float, branches: int
) -> Branched:
    """Whether every row of one image's problem stays below a number, by halving.

    Args:
        witness: of that single image.
        rows: each wrong logit less the label's.
        below: what every row's bound has to come under.
        branches: parts whose bound may be asked for, of all rows together.
    """
    every = torch.arange(len(rows.added), device=rows.added.device)
    parts, falls = _open(witness, problem, every, rows, whole(problem, len(every)), below)
    left, undecided = branches - len(every), 0
    while not falls and len(parts.of):
        # The worst first: that is where a misread image is, if there is one.
        worst, rest = _divided(parts, parts.bounds.argsort(descending=True), min(_AT_ONCE, left))
        if not len(worst.of):
            break
        ends = (worst.weights < 0).all(1)
        if type(problem.region) is Cuboid:  # of which a programme says all that there is to know
            for place in ends.nonzero()[:, 0].tolist():
                one = worst.at(ends.new_tensor([place], dtype=torch.int64))
                last = settled(problem, rows.at(one.of), one.split)
                falls |= bool(_asked(witness, last.images).any())
                undecided += int(not last.bound < below)
            left -= int(ends.sum())
            worst = worst.at((~ends).nonzero()[:, 0])
        which, split = _halved(worst)
        of = worst.of[which]
        left -= len(of)
        halves, met = _open(witness, problem, of, rows.at(of), split, below)
        parts, falls = rest.with_(halves), falls or met
    return Branched(stands=not falls and not undecided and not len(parts.of), falls=falls)


def _divided(parts: _Parts, order: Int64[Tensor, " m"], left: int) -> tuple[_Parts, _Parts]:
    """The first parts, of which the halves are as many as are left; and the others."""
    count = max(left, 0) // 2
    return parts.at(order[:count]), parts.at(order[count:])


def _open(
    witness: Witness,
    problem: Condensed,
    of: Int64[Tensor, " m"],
    rows: Rows,
    split: Split,
    below: float,
) -> tuple[_Parts, bool]:
    """The parts whose bounds are not low enough, and whether an image was met that is misread."""
    found = lowered(problem, rows, split, _STEPS)
    parts = _Parts(of, found.bounds, found.split, _weights(problem, found))
    met = bool(_asked(witness, found.farthest).any())
    return parts.at((~(found.bounds < below)).nonzero()[:, 0]), met


def _asked(witness: Witness, images: Images) -> Mask:
    return witness.at(torch.zeros(len(images), dtype=torch.int64, device=images.device)).misread(
        images
    )


def _weights(problem: Condensed, found: Bounded) -> Float[Tensor, "m u"]:
    """What each ReLU's two lines may cost: how far apart they are at 0, times its factor."""
    several = []
    for layer, factors, signs in zip(problem.layers, found.units, found.split.signs, strict=True):
        low, high = layer.box.low.clamp_max(0), layer.box.high.clamp_min(0)
        height = (1 - leak(layer.module)) * -low * high / (high - low).clamp_min(1e-30)
        several.append(torch.where(signs == 0, factors.abs() * height, -1))
    return torch.cat(several, dim=1) if several else found.bounds.new_zeros(len(found.bounds), 0)


def _halved(parts: _Parts) -> tuple[Int64[Tensor, " k"], Split]:
    """Each part twice, with both signs of its heaviest ReLU; and which part each came from.

    A part in which every sign is given comes once, as it is, and goes on with its pushes.
    """
    ends = (parts.weights < 0).all(1)
    which = torch.cat([torch.arange(len(ends), device=ends.device), (~ends).nonzero()[:, 0]])
    split = parts.split.at(which)
    if parts.weights.shape[1] == 0:
        return which, split
    signs = torch.cat(split.signs, dim=1)
    unit = parts.weights.argmax(1)[which, None]
    sign = torch.ones_like(which).to(signs)
    sign[len(ends) :] = -1
    sign = torch.where(ends[which], signs.gather(1, unit)[:, 0], sign)
    signs = signs.scatter(1, unit, sign[:, None])
    widths = [one.shape[1] for one in split.signs]
    return which, replace(split, signs=signs.split(widths, dim=1))
