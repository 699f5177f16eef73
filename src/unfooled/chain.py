"""A network whose layers stand one after another, taken forward and back without autograd.

For a small network, autograd and Python between the layers take longer than the layers. This is
what most networks for small images are: an `nn.Sequential` of known layers. One in between that
is not known, or has hooks, is called as it is; a network with a `forward` of its own goes through
torch as a whole, since what it does besides cannot be known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unfooled.kernels import channels_last
from unfooled.layers import Layer, Way, further, hooked
from unfooled.shapes import Images, Logits


@dataclass(frozen=True)
class Chain:
    """Layers in their order, from images to logits."""

    layers: tuple[Layer, ...]

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
        return given

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        found: Tensor | None = gradient.clone()  # the layers may use it up
        for layer, kept in reversed(ctx.trail):
            found = None if found is None else layer.back(found, kept)
        return found, None


def chain(model: nn.Module, images: Images) -> Chain | None:
    """A frozen model on a CPU as a chain for images like these; None where it is none."""
    tensors = (*model.parameters(), *model.buffers())
    same = all(t.dtype == images.dtype for t in tensors if t.is_floating_point())
    if not same or images.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    if not _in_sequence(model):
        return None
    way = Way((), channels_last(images[:1]))
    with torch.no_grad():
        for module in _leaves(model):
            longer = further(way, module)
            if longer is None:
                return None
            way = longer
    # In another order than torch's, nothing but a linear layer may follow.
    return None if way.order is not None else Chain(way.layers)


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    """The modules that an image passes, in their order."""
    if not _in_sequence(model):
        yield model
        return
    for child in model.children():
        yield from _leaves(child)


def _in_sequence(model: nn.Module) -> bool:
    return type(model) is nn.Sequential and not hooked(model)
