"""A network's layers, walked backwards: from rows for what comes out to rows for what goes in.

A row holds the factors of one linear function. Through a linear layer it goes by the layer's
transpose; what bends is left to `crown.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unfooled import interval, traced
from unfooled.errors import InvalidModel, UnfooledError, brief
from unfooled.interval import Box
from unfooled.layers import Standardise, by_channel
from unfooled.lines import bends
from unfooled.shapes import Images, PerImage
from unfooled.traced import Beside, Sum, joined
from unfooled.windows import Windows, windows

_AT_ONCE = 2**18  # numbers in the largest layer's rows: they stay in the cache
_TRIED = 4  # images on which a forward that was followed is tried
_WHOLE = 2**23  # numbers in the matrix of a few layers, at most, that is kept


Rows = Float[Tensor, "m ..."]  # one for each product of which a bound is wanted


@dataclass(frozen=True)
class Chain:
    """The layers of a frozen network, to be walked backwards.

    Attributes:
        steps: the layers.
        shapes: of what each is given, without the images' axis.
        shifts: what each linear layer gives for 0; None where it bends.
        windows: for the place of a layer that bends, what it is given where one other bends before
            it and each number sees little of that.
        kept: for the place of a layer that bends, every number that it is given as a row for what
            the linear layers in front of it are given, and what is added; where that is small.
    """

    steps: tuple[nn.Module, ...]
    shapes: tuple[torch.Size, ...]
    shifts: tuple[Tensor | None, ...]
    kept: dict[int, tuple[Rows, PerImage]]
    windows: dict[int, Windows]

    @property
    def together(self) -> int:
        """Rows that are walked back at once."""
        return max(2, _AT_ONCE // max(shape.numel() for shape in self.shapes))

    def linear(self, end: int) -> int:
        """The first of the linear layers in front of layer `end`."""
        while end > 0 and self.shifts[end - 1] is not None:
            end -= 1
        return end

    def back(self, rows: Rows, end: int) -> tuple[Rows, PerImage]:
        """Rows for what those linear layers are given, from rows for `end`, and what is added."""
        added = rows.new_zeros(len(rows))
        for place in reversed(range(self.linear(end), end)):
            step, shift = self.steps[place], self.shifts[place]
            if shift is not None:
                added = added + rows.flatten(1) @ shift.flatten()
            rows = _BACK[type(step)](step, rows, self.shapes[place])
        return rows, added

    def units(self, end: int, which: Int64[Tensor, " m"]) -> tuple[Rows, PerImage]:
        """The same for single numbers that layer `end` is given."""
        if end in self.kept:
            rows, added = self.kept[end]
            return rows[which], added[which]
        rows = F.one_hot(which, self.shapes[end].numel()).to(_dtype(self.shifts))
        return self.back(rows.view(-1, *self.shapes[end]), end)


def chain(model: nn.Module, images: Images) -> Chain:
    """The layers of a frozen model, and the shapes that such images take on the way.

    Raises:
        InvalidModel: there are no bounds for one of its layers.
    """
    steps, shapes, shifts = _followed(model, images), [], list[Tensor | None]()
    numbers = images.new_zeros(1, *images.shape[1:])
    for step in steps:
        shapes.append(numbers.shape[1:])
        interval.through(step, Box(numbers, numbers))
        numbers = step(torch.zeros_like(numbers))
        shifts.append(None if bends(step) else numbers[0])
    found = Chain(steps, tuple(shapes), tuple(shifts), {}, {})
    for place, step in enumerate(steps):
        first, size = found.linear(place), shapes[place].numel()
        if bends(step) and first and size * shapes[first].numel() <= _WHOLE:
            every = torch.arange(size, device=images.device).split(found.together)
            parts = [found.units(place, which) for which in every]
            rows, added = zip(*parts, strict=True)
            found.kept[place] = torch.cat(rows), torch.cat(added)
            if seen := _seen(found, place):
                found.windows[place] = seen
    return found


def _followed(model: nn.Module, images: Images) -> tuple[nn.Module, ...]:
    """The layers, once they did what the network does."""
    try:
        steps = tuple(traced.steps(model, images))
        _check(model, steps, images[:_TRIED])
    except UnfooledError:
        raise
    except Exception as error:  # a user's network may refuse images of double precision
        raise InvalidModel(
            f"there are no bounds for {type(model).__name__}, which cannot be asked as it is "
            f"followed, in {images.dtype}: {brief(error)}"
        ) from error
    return steps


def _check(model: nn.Module, steps: tuple[nn.Module, ...], images: Images) -> None:
    """Let only layers pass that do what the network does: in-place changes may hide in branches."""
    for given in (images, 1 - images):
        found, own = nn.Sequential(*steps)(given.clone()), model(given.clone())
        if found.shape != own.shape or not torch.allclose(found, own, equal_nan=True):
            raise InvalidModel(
                f"there are no bounds for {type(model).__name__}: its layers, one after the other, "
                "do not give what it gives; a forward without in-place changes would do"
            )


def _seen(network: Chain, place: int) -> Windows | None:
    """The windows of what a layer that bends is given, where there is one other before it."""
    before = network.linear(place) - 1
    step, size = network.steps[before], network.shapes[before].numel()
    if network.linear(before) or isinstance(step, nn.MaxPool2d):
        return None
    if size * network.shapes[0].numel() > _WHOLE:
        return None
    rows, added = network.kept[place]
    through, shifts = network.units(before, torch.arange(size, device=rows.device))
    return windows(network.shapes[place], rows.flatten(1), added, through.flatten(1), shifts)


def _dtype(shifts: tuple[Tensor | None, ...]) -> torch.dtype:
    return next(shift.dtype for shift in shifts if shift is not None)


def _scaled(module: Standardise, rows: Rows, _: torch.Size) -> Rows:
    return rows / by_channel(module.std, rows)


def _convolved(module: nn.Conv2d, rows: Rows, shape: torch.Size) -> Rows:
    if isinstance(module.padding, str):
        return _any(module, rows, shape)
    # Several sizes of input lead to this size of output; the padding of the output tells which.
    missing = [
        given - ((out - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1)
        for given, out, stride, pad, dilation, kernel in zip(
            shape[1:],
            rows.shape[2:],
            module.stride,
            module.padding,
            module.dilation,
            module.kernel_size,
            strict=True,
        )
    ]
    return F.conv_transpose2d(
        rows,
        module.weight,
        None,
        module.stride,
        module.padding,
        missing,
        module.groups,
        module.dilation,
    )


def _multiplied(module: nn.Linear, rows: Rows, _: torch.Size) -> Rows:
    return rows @ module.weight


def _normalised(module: nn.BatchNorm2d, rows: Rows, _: torch.Size) -> Rows:
    return rows * interval.factor(module)


def _flattened(_: nn.Module, rows: Rows, shape: torch.Size) -> Rows:
    return rows.reshape(-1, *shape)


def _beside(module: Beside, rows: Rows, _: torch.Size) -> Rows:
    shapes = [module.shapes[keep] for keep in module.keeps]
    made = rows.flatten(1).shape[1] - sum(shape.numel() for shape in shapes)
    *kept, own = rows.flatten(1).split([*(shape.numel() for shape in shapes), made], dim=1)
    given = module.shapes[module.takes[0]]
    own = own.reshape(len(rows), *module.makes)
    back = (
        own if isinstance(module.step, Sum) else _BACK[type(module.step)](module.step, own, given)
    )
    parts = [rows.new_zeros(len(rows), *shape) for shape in module.shapes]
    added = [(take, back) for take in module.takes]
    for place, part in (*zip(module.keeps, kept, strict=True), *added):
        parts[place] = parts[place] + part.view(len(rows), *module.shapes[place])
    return joined(parts)


def _same(_: nn.Module, rows: Rows, __: torch.Size) -> Rows:
    return rows


def _any(module: nn.Module, rows: Rows, shape: torch.Size) -> Rows:
    """Any linear layer, by its gradient."""
    with torch.enable_grad():
        given = rows.new_zeros(len(rows), *shape, requires_grad=True)
        return torch.autograd.grad(module(given), given, rows)[0]


_BACK: dict[type[nn.Module], Callable[[Any, Rows, torch.Size], Rows]] = {
    Standardise: _scaled,
    nn.Conv2d: _convolved,
    nn.Linear: _multiplied,
    nn.BatchNorm2d: _normalised,
    nn.AvgPool2d: _any,
    nn.Flatten: _flattened,
    Beside: _beside,
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), _same),
}
