"""Layers of a frozen network, each taken forward and back by its input alone.

What `chain.py` puts one after the other. Activations are laid out with the channels last, which a
CPU convolves faster.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from unfooled import kernels
from unfooled.kernels import Quick
from unfooled.shapes import Images


class Standardise(nn.Module):
    """Pixels in [0, 1] to mean 0 and standard deviation 1, as MNIST's training pixels have them.

    The first layer of every model here, so that eps is always in pixel units. Other data bring
    other numbers: both one for all channels, or both a tuple with one for each.
    """

    def __init__(
        self,
        mean: float | tuple[float, ...] = 0.1307,
        std: float | tuple[float, ...] = 0.3081,
    ) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: Images) -> Images:
        """(images - mean) / std."""
        return (images - by_channel(self.mean, images)) / by_channel(self.std, images)

    def line(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Factor and shift that do the same to images like these: numbers, or `[c, 1, 1]` each."""
        mean, std = (torch.tensor(n, dtype=torch.float64) for n in (self.mean, self.std))
        rows = tuple(like.new_tensor(n.tolist()) for n in (1 / std, -mean / std))
        factor, shift = (row[:, None, None] if row.ndim else row for row in rows)
        return factor, shift

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"mean={self.mean}, std={self.std}"


def by_channel(numbers: float | tuple[float, ...], images: Images) -> float | Tensor:
    """What can be added to images: a number for all, or one for each channel as `[c, 1, 1]`."""
    if isinstance(numbers, tuple):
        return images.new_tensor(numbers)[:, None, None]
    return numbers


@runtime_checkable
class Layer(Protocol):
    """One step of the way of images, `[n, c, h, w]` or `[n, d]`, through a frozen model.

    Nothing that is given to it is changed.
    """

    def through(self, given: Tensor, /) -> Tensor:
        """Its output."""

    def there(self, given: Tensor, /) -> tuple[Tensor, Any]:
        """Its output, and what the way back needs."""

    def back(self, gradient: Tensor, kept: Any, /) -> Tensor | None:
        """The gradient by its input, from that by its output.

        None where the output does not depend on the input. May be asked for several times.
        """


@dataclass(frozen=True)
class Affine:
    """Every channel multiplied by a factor, and shifted."""

    factor: Tensor  # [c, 1, 1], or a single number for all
    shift: Tensor

    def through(self, given: Tensor) -> Tensor:
        return given.mul(self.factor).add_(self.shift)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        return gradient * self.factor


@dataclass(frozen=True)
class Relu:
    """No less than 0; where it is 0, so is the gradient."""

    def through(self, given: Tensor) -> Tensor:
        return given.clamp_min(0)

    def there(self, given: Tensor) -> tuple[Tensor, Tensor]:
        found = self.through(given)
        return found, found

    def back(self, gradient: Tensor, kept: Tensor) -> Tensor:
        return _stopped(gradient, kept)


def _stopped(gradient: Tensor, output: Tensor) -> Tensor:
    """The gradient where a ReLU's output is above 0."""
    found: Tensor = torch.ops.aten.threshold_backward(gradient, output, 0)
    return found


@dataclass(frozen=True)
class Bend:
    """A layer with weights and the ReLU behind it, which writes over the layer's output."""

    layer: "Conv | Linear"

    def through(self, given: Tensor) -> Tensor:
        return self.layer.through(given).clamp_min_(0)

    def there(self, given: Tensor) -> tuple[Tensor, tuple[Tensor, Any]]:
        found, kept = self.layer.there(given)
        return found.clamp_min_(0), (found, kept)

    def back(self, gradient: Tensor, kept: tuple[Tensor, Any]) -> Tensor:
        output, inner = kept
        return self.layer.back(_stopped(gradient, output), inner)


@dataclass(frozen=True)
class Conv:
    """A convolution of square kernels, with the channels of its weight last."""

    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    way_back: kernels.Back

    def through(self, given: Tensor) -> Tensor:
        return torch.conv2d(given, self.weight, self.bias, self.stride, self.padding)

    def there(self, given: Tensor) -> tuple[Tensor, torch.Size]:
        return self.through(given), given.shape[1:]

    def back(self, gradient: Tensor, kept: torch.Size) -> Tensor:
        return self.way_back(gradient, kept)


@dataclass(frozen=True)
class Linear:
    """A product with a weight, `[out, in]`."""

    weight: Tensor
    bias: Tensor | None

    def through(self, given: Tensor) -> Tensor:
        return kernels.product(given, self.weight, self.bias)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        return kernels.product(gradient, self.weight.t())


@dataclass(frozen=True)
class Flat:
    """The pixels of all channels in a row, place by place, as they lie in memory."""

    def through(self, given: Tensor) -> Tensor:
        return given.permute(0, 2, 3, 1).reshape(len(given), -1)

    def there(self, given: Tensor) -> tuple[Tensor, torch.Size]:
        return self.through(given), given.shape[1:]

    def back(self, gradient: Tensor, kept: torch.Size) -> Tensor:
        channels, high, wide = kept
        return gradient.view(-1, high, wide, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class MaxPool:
    """The largest of each square; the squares lie side by side."""

    side: int

    def through(self, given: Tensor) -> Tensor:
        # Not torch's own, which notes where each maximum was also when nobody asks.
        side = self.side
        high, wide = given.shape[2:]
        down, across = high // side, wide // side
        pixels = given.permute(0, 2, 3, 1)[:, : down * side, : across * side]
        rows = _largest([pixels[:, row::side] for row in range(side)])
        found = _largest([rows[:, :, column::side] for column in range(side)])
        return found.permute(0, 3, 1, 2)

    def there(self, given: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        found, places = torch.ops.aten.max_pool2d_with_indices(given, (self.side, self.side))
        return found, (given, places)

    def back(self, gradient: Tensor, kept: tuple[Tensor, Tensor]) -> Tensor:
        given, places = kept
        side = (self.side, self.side)
        return torch.ops.aten.max_pool2d_with_indices_backward(  # type: ignore[no-any-return]
            gradient,
            given,
            side,
            side,
            (0, 0),
            (1, 1),
            False,  # noqa: FBT003 - not rounded up
            places,
        )


def _largest(some: list[Tensor]) -> Tensor:
    found, *others = some
    for other in others:
        found = torch.maximum(found, other)
    return found


@dataclass(frozen=True)
class Foreign:
    """A module that does what it does, hooks included; torch takes it forward and back."""

    module: nn.Module

    def through(self, given: Tensor) -> Tensor:
        with Quick():
            found: Tensor = self.module(given.clone())  # it may work in place
        return found

    def there(self, given: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        with torch.enable_grad():
            leaf = given.detach().requires_grad_()
            found = self.through(leaf)
        return found.detach(), (leaf, found)

    def back(self, gradient: Tensor, kept: tuple[Tensor, Tensor]) -> Tensor | None:
        leaf, found = kept
        if not found.requires_grad:
            return None
        return torch.autograd.grad(found, leaf, gradient, retain_graph=True, allow_unused=True)[0]
