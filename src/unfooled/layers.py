"""Layers of a frozen network, each taken forward and back by its input alone.

What `chain.py` puts one after the other. Every layer of torch that is known here has a line in
`_KNOWN`; any other goes torch's own way. Activations are laid out with the channels last, which a
CPU convolves faster.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from unfooled import kernels
from unfooled.kernels import Quick, channels_last
from unfooled.shapes import Images


class Standardise(nn.Module):
    """Pixels in [0, 1] to mean 0 and standard deviation 1, as MNIST's training pixels have them.

    The first layer of every model here, so that eps is always in pixel units.
    """

    def __init__(self, mean: float = 0.1307, std: float = 0.3081) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: Images) -> Images:
        """(images - mean) / std."""
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"mean={self.mean}, std={self.std}"


@runtime_checkable
class Layer(Protocol):
    """One step of the way; its weights are frozen."""

    def through(self, given: Tensor, /) -> Tensor:
        """Its output; `given` is not changed."""

    def there(self, given: Tensor, /) -> tuple[Tensor, Any]:
        """Its output, and what the way back needs."""

    def back(self, gradient: Tensor, kept: Any, /) -> Tensor | None:
        """The gradient by its input, from that by its output, which may be used up.

        None where the output does not depend on the input.
        """


@dataclass(frozen=True)
class _Affine:
    factor: Tensor  # [c, 1, 1], or a single number for all
    shift: Tensor

    def through(self, given: Tensor) -> Tensor:
        return given.mul(self.factor).add_(self.shift)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        return gradient.mul_(self.factor)


@dataclass(frozen=True)
class _Relu:
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
class _Bend:
    """A layer with weights and the ReLU behind it, which writes over the layer's output."""

    layer: "_Conv | _Linear"

    def through(self, given: Tensor) -> Tensor:
        return self.layer.through(given).clamp_min_(0)

    def there(self, given: Tensor) -> tuple[Tensor, Tensor]:
        found = self.through(given)
        return found, found

    def back(self, gradient: Tensor, kept: Tensor) -> Tensor:
        return self.layer.back(_stopped(gradient, kept), None)


@dataclass(frozen=True)
class _Conv:
    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    way_back: kernels.Back
    shape: torch.Size  # of its input

    def through(self, given: Tensor) -> Tensor:
        return torch.conv2d(given, self.weight, self.bias, self.stride, self.padding)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        return self.way_back(gradient, self.shape)


@dataclass(frozen=True)
class _Linear:
    weight: Tensor
    transposed: Tensor
    bias: Tensor | None

    def through(self, given: Tensor) -> Tensor:
        return kernels.product(given, self.weight, self.bias)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        return kernels.product(gradient, self.transposed)


@dataclass(frozen=True)
class _Flat:
    """The pixels of all channels in a row, place by place, as they lie in memory."""

    shape: torch.Size

    def through(self, given: Tensor) -> Tensor:
        return given.permute(0, 2, 3, 1).reshape(len(given), -1)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        channels, high, wide = self.shape
        return gradient.view(-1, high, wide, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _MaxPool:
    """Of squares that lie side by side."""

    side: int

    def through(self, given: Tensor) -> Tensor:
        # torch notes where each maximum was, also when nobody asks.
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
class _Foreign:
    """A module that does what it does, hooks included; torch takes it forward and back."""

    module: nn.Module

    def through(self, given: Tensor) -> Tensor:
        with Quick():
            found: Tensor = self.module(given)
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


@dataclass(frozen=True)
class Way:
    """How far a network has been put together.

    Attributes:
        layers: so far.
        given: what one image has become on its way.
        order: its channels, height and width when it was laid flat; None where it was not, or where
            the layers behind no longer ask in which order.
    """

    layers: tuple[Layer, ...]
    given: Tensor
    order: torch.Size | None = None

    def then(self, layer: Layer, order: torch.Size | None = None) -> "Way":
        """One layer further."""
        return Way((*self.layers, layer), layer.through(self.given), order)


def _standardised(way: Way, module: Standardise) -> Way:
    factor, shift = (way.given.new_tensor(n) for n in (1 / module.std, -module.mean / module.std))
    return way.then(_Affine(factor, shift))


def _normalised(way: Way, module: nn.BatchNorm2d) -> Way | None:
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        return None  # it has no statistics of its own, and takes those of the images at hand
    factor = (variance + module.eps).rsqrt()
    factor = factor if module.weight is None else factor * module.weight
    shift = -mean * factor if module.bias is None else module.bias - mean * factor
    return way.then(_Affine(factor.view(-1, 1, 1), shift.view(-1, 1, 1)))


def _bent(way: Way, _: nn.ReLU) -> Way:
    *before, last = way.layers or (None,)
    if isinstance(last, _Conv | _Linear):
        return Way((*before, _Bend(last)), way.given.clamp_min(0), way.order)
    return way.then(_Relu(), way.order)


def _convolved(way: Way, module: nn.Conv2d) -> Way | None:
    sides, strides, padding = module.kernel_size, module.stride, module.padding
    if (
        isinstance(padding, str)
        or module.padding_mode != "zeros"
        or module.groups != 1
        or module.dilation != (1, 1)
        or any(one[0] != one[1] for one in (sides, strides, padding))
    ):
        return None
    weight = module.weight.detach()
    back = kernels.by_input(weight, strides[0], padding[0])
    last, shape = channels_last(weight), way.given.shape[1:]
    return way.then(_Conv(last, module.bias, strides[0], padding[0], back, shape))


def _multiplied(way: Way, module: nn.Linear) -> Way | None:
    if way.given.ndim != 2:
        return None
    weight = module.weight.detach()
    if way.order is not None:  # the columns of the weight in the order in which the pixels lie
        weight = weight.view(-1, *way.order).permute(0, 2, 3, 1).reshape(weight.shape)
    return way.then(_Linear(weight.contiguous(), kernels.transposed(weight), module.bias))


def _flattened(way: Way, module: nn.Flatten) -> Way | None:
    if (module.start_dim, module.end_dim) != (1, -1):
        return None
    if way.given.ndim == 2:
        return way
    return way.then(_Flat(way.given.shape[1:]), way.given.shape[1:])


def _pooled(way: Way, module: nn.MaxPool2d) -> Way | None:
    side = module.kernel_size
    plain = (module.padding, module.dilation, module.ceil_mode, module.return_indices)
    if not isinstance(side, int) or module.stride != side or plain != (0, 1, False, False):
        return None
    return way.then(_MaxPool(side))


def _passed(way: Way, _: nn.Module) -> Way:
    return way


_KNOWN: dict[type[nn.Module], Callable[[Way, Any], Way | None]] = {
    Standardise: _standardised,
    nn.BatchNorm2d: _normalised,
    nn.ReLU: _bent,
    nn.Conv2d: _convolved,
    nn.Linear: _multiplied,
    nn.Flatten: _flattened,
    nn.MaxPool2d: _pooled,
    **dict.fromkeys((nn.Dropout, nn.Dropout2d, nn.Identity), _passed),  # of an eval model
}


def further(way: Way, module: nn.Module) -> Way | None:
    """One module of torch's further; None where it cannot follow what stands before it."""
    make = None if hooked(module) else _KNOWN.get(type(module))
    found = None if make is None else make(way, module)
    if found is not None or way.order is not None:
        return found
    return way.then(_Foreign(module))


def hooked(module: nn.Module) -> bool:
    """Whether calling a module does more than its kind says."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks) or _has_any_global_hook() or "forward" in vars(module)
