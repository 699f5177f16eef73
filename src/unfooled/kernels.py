"""Layers whose input gradient is quick on a CPU, put in the place of torch's while a model runs.

An attack needs the gradient by the pixels alone, and torch takes it slowly where it costs most: a
convolution of few channels (the first layer) takes ten times its forward pass, a strided one three
times, and a ReLU between two memory layouts as long as a convolution. The values are the same but
for float rounding. docs/benchmarks.md has what this brings.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_FEW = 4  # input channels up to which the gradient is scattered pixel by pixel

Pair = tuple[int, int]


class Quick(TorchFunctionMode):
    """A context in which a frozen model's convolutions and ReLUs take the quick way.

    Whatever they do not cover (weights that learn, groups, dilation, other layers) goes its usual
    way. Activations are laid out with the channels last, which a CPU convolves faster; `view`,
    which refuses that layout, becomes `reshape`.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What `func` gives."""
        given = dict(kwargs or {})
        if func is torch.conv2d:
            return _conv2d(*args, **given)
        if func in (F.relu, torch.relu, torch.Tensor.relu) and not _in_place(args, given):
            return _Relu.apply(args[0] if args else given["input"])
        if func is torch.Tensor.view and _is_shape(args[1:]) and not given:
            return args[0].reshape(*args[1:])
        return func(*args, **given)


def _in_place(args: tuple[Any, ...], given: Mapping[str, Any]) -> bool:
    return bool(given.get("inplace", args[1] if len(args) > 1 else False))


def _is_shape(words: tuple[Any, ...]) -> bool:
    """Whether `view` was given sizes, not a dtype."""
    return not any(isinstance(word, torch.dtype) for word in words)


def _conv2d(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    steps, pads = _pair(stride), padding if isinstance(padding, str) else _pair(padding)
    learns = any(t is not None and t.requires_grad for t in (weight, bias))
    plain = images.ndim == 4 and groups == 1 and _pair(dilation) == (1, 1)
    square = steps[0] == steps[1] and weight.shape[2] == weight.shape[3]
    # Under autocast, or by mistake, the kinds of number differ: torch knows what to do or to say.
    mixed = images.dtype != weight.dtype or torch.is_autocast_enabled("cpu")
    if learns or mixed or not plain or not square or isinstance(pads, str) or pads[0] != pads[1]:
        return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)
    found: Tensor = _Conv.apply(images, weight, bias, steps[0], pads[0])
    return found


def _pair(value: int | Pair) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


class _Relu(torch.autograd.Function):
    """max(0, input); where the input is 0 the gradient is 0, as torch has it."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        found = images.clamp_min(0)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        if gradient.ndim == 4 and (gradient.stride(1) == 1) != (found.stride(1) == 1):
            gradient = gradient.contiguous(memory_format=_layout(found))
        return torch.ops.aten.threshold_backward(gradient, found, 0)  # type: ignore[no-any-return]


def _layout(like: Tensor) -> torch.memory_format:
    last = like.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


class _Conv(torch.autograd.Function):
    """A convolution of square kernels; its gradient by the input alone."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        last = _cached(weight, channels_last)
        ctx.weight, ctx.stride, ctx.padding, ctx.shape = weight, stride, padding, images.shape
        return torch.conv2d(images, last, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        few = ctx.shape[1] <= _FEW
        way = _scattered if few else _by_phase if ctx.stride > 1 else _usual
        found = way(gradient, ctx.weight, ctx.stride, ctx.padding, ctx.shape)
        return found, None, None, None, None


# Forms of weights that were asked for, by what made them; see `forget`.
_FORMS = WeakTensorKeyDictionary()


def forget() -> None:
    """Make every form of a weight anew when it is next asked for.

    Called whenever a model is frozen. A weight's own version does not tell whether it has changed:
    a fused optimiser, `.data` and `.double()` change it without a trace.
    """
    _FORMS.clear()


def _cached(weight: Tensor, make: Callable[..., Any], *options: int) -> Any:
    """A form of a frozen weight, made once."""
    forms = _FORMS.setdefault(weight, {})
    if (make, *options) not in forms:
        forms[make, *options] = make(weight.detach(), *options)
    return forms[make, *options]


def channels_last(images: Tensor) -> Tensor:
    """The same numbers in that layout, also where a single channel leaves it open to torch."""
    channels, high, wide = images.shape[1:]
    laid = images.contiguous(memory_format=torch.channels_last)
    return laid.as_strided(images.shape, (channels * high * wide, 1, channels * wide, channels))


def _scattered(
    gradient: Tensor, weight: Tensor, stride: int, padding: int, shape: torch.Size
) -> Tensor:
    """One product for every place of the kernel, added up where the places meet.

    Places whose pixels lie alike between two steps are added into the same plane.
    """
    n, out, high, wide = gradient.shape
    channels, side = weight.shape[1:3]
    taps = -(-side // stride)
    # With the images last there is one large product, not a small one for each image.
    pixels = gradient.permute(0, 2, 3, 1).reshape(-1, out)
    products = weight.reshape(out, -1).t() @ pixels.t()
    products = products.view(channels, side, side, n, high, wide)
    planes = gradient.new_zeros((channels, stride, stride, n, high + taps - 1, wide + taps - 1))
    for row in range(taps):
        for column in range(taps):
            own = products[
                :, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride
            ]
            rows, columns = own.shape[1:3]
            planes[:, :rows, :columns, :, row : row + high, column : column + wide] += own
    whole = planes.permute(3, 0, 4, 1, 5, 2).reshape(
        n, channels, planes.shape[4] * stride, planes.shape[5] * stride
    )
    return _cut(whole, padding, shape)


def _cut(whole: Tensor, padding: int, shape: torch.Size) -> Tensor:
    """Without the padding; pixels behind the last whole step, which nobody looked at, are 0."""
    ends = [padding + size for size in shape[2:]]
    missing = [max(0, end - had) for end, had in zip(ends, whole.shape[2:], strict=True)]
    if any(missing):
        whole = F.pad(whole, (0, missing[1], 0, missing[0]))
    return whole[:, :, padding : ends[0], padding : ends[1]]


def _by_phase(
    gradient: Tensor, weight: Tensor, stride: int, padding: int, shape: torch.Size
) -> Tensor:
    """Forward convolutions, which are quicker, for all pixels that lie alike between two steps.

    Pixel stride * q + r, counted from the padding's edge, meets the kernel at r, r + stride, ...:
    a convolution with stride 1 whose output channels are the input channels for each r of the
    columns. There is one for each r of the rows, so that whole rows are put together.
    """
    channels, tall, broad = shape[1:]
    count = -(-tall // stride)
    rows = []
    kernels = _cached(weight, _phases, stride)
    for place in range(stride):
        first, phase = divmod(place + padding, stride)
        kernel = kernels[phase]
        found = torch.conv2d(gradient, kernel, padding=kernel.shape[2] - 1).permute(0, 2, 3, 1)
        flat = found.reshape(*found.shape[:2], -1)
        missing = (padding + broad) * channels - flat.shape[2], first + count - flat.shape[1]
        if max(missing) > 0:
            flat = F.pad(flat, (0, max(0, missing[0]), 0, max(0, missing[1])))
        columns = slice(padding * channels, (padding + broad) * channels)
        rows.append(flat[:, first : first + count, columns])
    whole = torch.stack(rows, dim=2).view(len(gradient), count * stride, broad, channels)
    return whole[:, :tall].permute(0, 3, 1, 2)


def _phases(weight: Tensor, stride: int) -> list[Tensor]:
    """The kernels of `_by_phase`, by r of the rows."""
    out, channels, side, _ = weight.shape
    taps = -(-side // stride)
    padded = F.pad(weight, (0, taps * stride - side, 0, taps * stride - side))
    phases = padded.reshape(out, channels, taps, stride, taps, stride).flip(2, 4)
    return [
        channels_last(phases[:, :, :, row].permute(4, 1, 0, 2, 3).reshape(-1, out, taps, taps))
        for row in range(stride)
    ]


def _usual(
    gradient: Tensor, weight: Tensor, stride: int, padding: int, shape: torch.Size
) -> Tensor:
    """As torch does it."""
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        gradient,
        gradient.new_empty(1).expand(shape),
        _cached(weight, channels_last),
        None,
        (stride, stride),
        (padding, padding),
        (1, 1),
        False,  # noqa: FBT003 - not transposed
        (0, 0),
        1,
        (True, False, False),
    )[0]
