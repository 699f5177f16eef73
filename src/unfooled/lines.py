"""Layers that bend, each output held between two lines of its input.

Only the input's bounds decide which lines: a ReLU that is above 0 throughout is a line itself, and
so is one that is below.

Source: Zhang et al. 2018, https://arxiv.org/abs/1811.00866, section 3.2 (ReLU, with the lower line
that leaves less room); Singh et al. 2019, https://doi.org/10.1145/3290354, section 4.4 (smooth
layers).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unfooled.interval import Box, split
from unfooled.maxima import Largest, contested, largest
from unfooled.shapes import PerImage
from unfooled.traced import Within, joined


@dataclass(frozen=True)
class Lines:
    """`low_slope x + low_at <= y <= high_slope x + high_at`, one by one.

    Attributes:
        low_slope, low_at, high_slope, high_at: `[n, ...]`, as the layer's output.
    """

    low_slope: Tensor
    low_at: Tensor
    high_slope: Tensor
    high_at: Tensor

    def back(self, rows: Float[Tensor, "m ..."]) -> tuple[Float[Tensor, "m ..."], PerImage]:
        """Rows for the input, and what is to be added, so that the product is no less.

        Args:
            rows: for the output; one for each image, or any number for a single image.
        """
        high = rows.clamp_min(0)
        added = (high * self.high_at).flatten(1).sum(1)
        added = added + ((rows - high) * self.low_at).flatten(1).sum(1)
        return torch.addcmul(rows * self.low_slope, high, self.high_slope - self.low_slope), added

    def at(self, of: Int64[Tensor, " m"]) -> "Lines":
        """The lines of these images, which may come several times."""
        return Lines(self.low_slope[of], self.low_at[of], self.high_slope[of], self.high_at[of])


def inner(module: nn.Module) -> nn.Module:
    """The layer that bends, without what is alive beside it."""
    return module.step if isinstance(module, Within) else module


def bends(module: nn.Module) -> bool:
    """Whether a layer is one of those here."""
    return type(module) in _LINES


def lines(module: nn.Module, box: Box) -> Lines | Largest:
    """The lines of a layer for inputs in a box."""
    return _LINES[type(module)](module, box)


def bent(module: nn.Module, box: Box) -> Bool[Tensor, "n ..."]:
    """Where the layer is not a line, so that it matters how tight the box is."""
    if isinstance(module, Within):
        parts = [torch.zeros_like(one.middle, dtype=torch.bool) for one in split(module, box)]
        parts[module.place] = bent(module.step, split(module, box)[module.place])
        return joined(parts)
    if type(module) in (nn.ReLU, nn.LeakyReLU):
        return (box.low < 0) & (box.high > 0)
    if isinstance(module, nn.MaxPool2d):
        return contested(module, box)
    return box.radius > 0


def rectifies(module: nn.Module) -> bool:
    """Whether a layer is a ReLU, leaky or not, whose slope below 0 is 0 to 1."""
    module = inner(module)
    return type(module) in (nn.ReLU, nn.LeakyReLU) and 0 <= leak(module) <= 1


def leak(module: nn.Module) -> float:
    """The slope of a ReLU, leaky or not, below 0."""
    return float(getattr(inner(module), "negative_slope", 0.0))


def rectified(module: nn.Module, box: Box) -> Lines:
    """The lines of a ReLU that `rectifies`."""
    low, high = box.low, box.high
    # As numbers of the box's precision: a bare 0.1 would be one of single precision.
    one, least = low.new_tensor(1.0), low.new_tensor(leak(module))
    open_ = (low < 0) & (high > 0)
    chord = (high - least * low) / torch.where(open_, high - low, 1)
    slope = torch.where(open_, chord, torch.where(low >= 0, one, least))
    at = torch.where(open_, high * (1 - chord), 0)
    below = torch.where(open_, torch.where(high > -low, one, least), slope)
    return Lines(below, torch.zeros_like(at), slope, at)


def _leaky(module: nn.Module, box: Box) -> Lines:
    """The lines of two slopes that meet at 0, whatever they are."""
    if rectifies(module):
        return rectified(module, box)
    low, high = box.low, box.high
    one, least = low.new_tensor(1.0), low.new_tensor(leak(module))
    at_low, at_high = module(low.clone()), module(high.clone())  # it may write into them
    chord = (at_high - at_low) / torch.where(high > low, high - low, 1)
    at = at_low - chord * low
    own = torch.where(high > -low, one, least)
    own = torch.where(low >= 0, one, torch.where(high <= 0, least, own))
    zero = torch.zeros_like(at)
    # Steeper below 0 than above it bends down: then the chord lies below, and not above.
    return Lines(chord, at, own, zero) if least > 1 else Lines(own, zero, chord, at)


def _within(module: Within, box: Box) -> Lines:
    """The lines of one part of what is alive; the rest is a line itself."""
    parts = split(module, box)
    own = vars(lines(module.step, parts[module.place])).values()
    slope = [torch.ones_like(part.middle) for part in parts]
    at = [torch.zeros_like(part.middle) for part in parts]
    found = []
    for filled, new in zip((slope, at, slope, at), own, strict=True):
        filled = list(filled)
        filled[module.place] = new
        found.append(joined(filled))
    return Lines(*found)


def _smooth(steepness: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Box], Lines]:
    """The lines of a layer that grows, and is least steep at one of the two ends of any interval.

    Both have that least slope, through the upper end of the curve and through the lower.
    """

    def found(module: nn.Module, box: Box) -> Lines:
        low, high = box.low, box.high
        slope = torch.minimum(steepness(module, low), steepness(module, high))
        return Lines(slope, module(low) - slope * low, slope, module(high) - slope * high)

    return found


_LINES: dict[type[nn.Module], Callable[[Any, Box], Lines | Largest]] = {
    nn.ReLU: rectified,
    nn.LeakyReLU: _leaky,
    nn.MaxPool2d: largest,
    Within: _within,
    nn.Tanh: _smooth(lambda module, at: 1 - module(at).square()),
    nn.Sigmoid: _smooth(lambda module, at: module(at) * (1 - module(at))),
    nn.Softplus: _smooth(lambda module, at: (module.beta * at).sigmoid()),
}
