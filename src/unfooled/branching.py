"""Branch and bound: where a bound is not enough, one for each sign of an open ReLU.

Source: Bunel et al. 2020, https://arxiv.org/abs/1909.06588, section 4; bounds of the halves as in
Wang et al. 2021, https://arxiv.org/abs/2103.06624.
"""

import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unfooled.condensed import Bounded, Condensed, Rows, Split, lowered, whole
from unfooled.lines import leak
from unfooled.shapes import Images, Labels, PerImage

_AT_ONCE = 64  # parts that are halved together
_STEPS = 10  # of slopes and pushes, for each half


@dataclass(frozen=True)
class Branched:
    """What became of one image.

    Attributes:
        stands: no image inside the threat is misread.
        misread: an image inside the threat that is, `[1, c, h, w]`; None if none was met.
    """

    stands: bool
    misread: Images | None


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
    model: nn.Module, label: Labels, problem: Condensed, rows: Rows, *, below: float, seconds: float
) -> Branched:
    """Whether every row of one image's problem stays below a number, by halving for some seconds.

    Args:
        model: frozen, of the problem's precision; it is asked about images that may be misread.
        label: of the image, `[1]`.
        rows: each wrong logit less the label's.
        below: what every row's bound has to come under.
    """
    end = time.monotonic() + seconds
    every = torch.arange(len(rows.added), device=rows.added.device)
    parts, misread = _open(problem, every, rows, whole(problem, len(every)), model, label, below)
    while misread is None and len(parts.of):
        if time.monotonic() > end:
            return Branched(stands=False, misread=None)
        # The worst first: that is where a misread image is, if there is one.
        order = parts.bounds.argsort(descending=True)
        worst, rest = parts.at(order[:_AT_ONCE]), parts.at(order[_AT_ONCE:])
        which, split = _halved(worst)
        of = worst.of[which]
        halves, misread = _open(problem, of, rows.at(of), split, model, label, below)
        parts = rest.with_(halves)
    return Branched(misread is None, misread)


def _open(
    problem: Condensed,
    of: Int64[Tensor, " m"],
    rows: Rows,
    split: Split,
    model: nn.Module,
    label: Labels,
    below: float,
) -> tuple[_Parts, Images | None]:
    """The parts whose bounds are not low enough, and an image that is misread."""
    found = lowered(problem, rows, split, _STEPS)
    parts = _Parts(of, found.bounds, found.split, _weights(problem, found))
    with torch.no_grad():
        wrong = model(found.farthest).argmax(1) != label
    misread = found.farthest[wrong][:1] if wrong.any() else None
    return parts.at((~(found.bounds < below)).nonzero()[:, 0]), misread


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
