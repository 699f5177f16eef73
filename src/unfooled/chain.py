"""A network whose layers stand one after another, taken forward and back without autograd.

For a small network, autograd and Python between the layers take as long as the layers. Only an
`nn.Sequential` is taken apart. What is not known in it, or has hooks, is called as it is; a network
with a `forward` of its own goes through torch as a whole: what it does besides cannot be known.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from unfooled import kernels
from unfooled.kernels import channels_last
from unfooled.layers import (
    Affine,
    Bend,
    Conv,
    Flat,
    Foreign,
    Layer,
    Linear,
    MaxPool,
    Relu,
    Standardise,
)
from unfooled.shapes import Images, Logits


@dataclass(frozen=True)
class Chain:
    """Layers in their order, from images to logits."""

    layers: tuple[Layer, ...]

    @property
    def known(self) -> bool:
        """Whether every layer is one of those that are known."""
        return not any(isinstance(layer, Foreign) for layer in self.layers)

    def __call__(self, images: Images) -> Logits:
        """The logits; differentiable by the images, once."""
        if torch.is_grad_enabled() and images.requires_grad:
            found: Tensor = _Whole.apply(images, self)
            return found
        given = channels_last(images)
        for layer in self.layers:
            given = layer.through(given)
        return given


class _Whole(torch.autograd.Function):
    """All layers as one function."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, chain: Chain) -> Tensor:
        given = channels_last(images)
        ctx.trail = []
        for layer in chain.layers:
            given, kept = layer.there(given)
            ctx.trail.append((layer, kept))
        # Were it one of those that are kept, all of them would wait for the garbage collector.
        return given.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        kernels.only_once()
        found: Tensor | None = gradient
        for layer, kept in reversed(ctx.trail):
            found = None if found is None else layer.back(found, kept)
        return found, None


def chain(model: nn.Module, images: Images) -> Chain | None:
    """A frozen model on a CPU as a chain for images like these; None where it is none.

    What is not known in it is asked about two of the images.
    """
    tensors = (*model.parameters(), *model.buffers())
    same = all(t.dtype == images.dtype for t in tensors if t.is_floating_point())
    if not same or images.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    if not _in_sequence(model):
        return None
    way = _Way((), channels_last(images[:2].detach()))
    with torch.no_grad():
        for module in _leaves(model):
            longer = _further(way, module)
            if longer is None:
                return None
            way = longer
    # In another order than torch's, nothing but a linear layer may follow. And two modules of the
    # user's own may share something besides what is passed on, whose gradient would be lost.
    strange = [one for one in way.layers if isinstance(one, Foreign) and not _torchs(one.module)]
    return Chain(way.layers) if way.order is None and len(strange) < 2 else None


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    """The modules that an image passes, in their order."""
    if not _in_sequence(model):
        yield model
        return
    for child in model:  # not `children()`, which name a module once that stands there twice
        yield from _leaves(child)


def _in_sequence(model: nn.Module) -> TypeGuard[nn.Sequential]:
    return type(model) is nn.Sequential and not _hooked(model)


@dataclass(frozen=True)
class _Way:
    """How far a network has been put together.

    Attributes:
        layers: so far.
        given: what a few images have become on their way.
        order: the channels, height and width of what was laid flat in another order than torch's;
            None where it is in torch's.
    """

    layers: tuple[Layer, ...]
    given: Any
    order: torch.Size | None = None

    def then(self, layer: Layer) -> "_Way":
        """One layer further."""
        return _Way((*self.layers, layer), layer.through(self.given), self.order)


def _standardised(way: _Way, module: Standardise) -> _Way:
    return way.then(Affine(*module.line(way.given)))


def _normalised(way: _Way, module: nn.BatchNorm2d) -> _Way | None:
    mean, variance = module.running_mean, module.running_var
    # Without statistics of its own it takes those of the images at hand.
    if mean is None or variance is None or way.given.ndim != 4:
        return None
    factor = (variance + module.eps).rsqrt()
    factor = factor if module.weight is None else factor * module.weight
    shift = -mean * factor if module.bias is None else module.bias - mean * factor
    return way.then(Affine(factor.view(-1, 1, 1), shift.view(-1, 1, 1)))


def _bent(way: _Way, _: nn.ReLU) -> _Way:
    *before, last = way.layers or (None,)
    if isinstance(last, Conv | Linear):
        return _Way((*before, Bend(last)), way.given.clamp_min(0), way.order)
    return way.then(Relu())


def _convolved(way: _Way, module: nn.Conv2d) -> _Way | None:
    sides, strides, padding = module.kernel_size, module.stride, module.padding
    if (
        way.given.ndim != 4
        or isinstance(padding, str)
        or module.padding_mode != "zeros"
        or module.groups != 1
        or module.dilation != (1, 1)
        or any(one[0] != one[1] for one in (sides, strides, padding))
    ):
        return None
    weight = module.weight.detach()
    back = kernels.by_input(weight, strides[0], padding[0])
    return way.then(Conv(channels_last(weight), module.bias, strides[0], padding[0], back))


def _multiplied(way: _Way, module: nn.Linear) -> _Way | None:
    if way.given.ndim != 2:
        return None
    weight = module.weight.detach()
    if way.order is not None:  # the columns of the weight in the order in which the pixels lie
        weight = weight.view(-1, *way.order).permute(0, 2, 3, 1).reshape(weight.shape)
    found = way.then(Linear(weight.contiguous(), module.bias))
    return replace(found, order=None)


def _flattened(way: _Way, module: nn.Flatten) -> _Way | None:
    if (module.start_dim, module.end_dim) != (1, -1) or way.given.ndim not in (2, 4):
        return None
    if way.given.ndim == 2:
        return way
    channels, high, wide = way.given.shape[1:]
    same = channels == 1 or high * wide == 1
    return replace(way.then(Flat()), order=None if same else way.given.shape[1:])


def _pooled(way: _Way, module: nn.MaxPool2d) -> _Way | None:
    side = module.kernel_size
    plain = (module.padding, module.dilation, module.ceil_mode, module.return_indices)
    if way.given.ndim != 4 or not isinstance(side, int) or module.stride != side:
        return None
    return way.then(MaxPool(side)) if plain == (0, 1, False, False) else None


def _passed(way: _Way, _: nn.Module) -> _Way:
    return way


_KNOWN: dict[type[nn.Module], Callable[[_Way, Any], _Way | None]] = {
    Standardise: _standardised,
    nn.BatchNorm2d: _normalised,
    nn.ReLU: _bent,
    nn.Conv2d: _convolved,
    nn.Linear: _multiplied,
    nn.Flatten: _flattened,
    nn.MaxPool2d: _pooled,
    **dict.fromkeys((nn.Dropout, nn.Dropout2d, nn.Identity), _passed),  # of an eval model
}


def _further(way: _Way, module: nn.Module) -> _Way | None:
    """One module of torch's further; None where it cannot follow what stands before it."""
    make = None if _hooked(module) or module.training else _KNOWN.get(type(module))
    found = None if make is None else make(way, module)
    if found is not None or way.order is not None:
        return found
    found = way.then(Foreign(module))
    return found if isinstance(found.given, Tensor) and found.given.is_floating_point() else None


def _torchs(module: nn.Module) -> bool:
    """Whether a module is of torch's own kinds, which share nothing with others."""
    return type(module).__module__.startswith("torch.nn.") and not _hooked(module)


def _hooked(module: nn.Module) -> bool:
    """Whether calling a module does more than its kind says."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks) or bool(_has_any_global_hook()) or "forward" in vars(module)
