"""Layers whose input gradient is quick on a CPU, put in the place of torch's while a model runs.

An attack needs the gradient by the pixels alone, and torch takes it slowly where it costs most: a
convolution of few channels (the first layer) takes ten times its forward pass, a strided one three
times, and a ReLU between two memory layouts as long as a convolution. The values are the same but
for float rounding. docs/benchmarks.md has what this brings.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from unfooled.errors import InvalidModel

_FEW = 4  # input channels up to which the gradient is scattered pixel by pixel

Pair = tuple[int, int]
# From the gradient by a layer's output and the shape [c, h, w] of its input to that by its input.
Back = Callable[[Tensor, torch.Size], Tensor]

_MUCH = 2**20  # multiplications from which on oneDNN's start is worth it
_ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


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
        if func in (torch.conv2d, F.linear) and "input" in given:
            args = (given.pop("input"), *args)
        if func is torch.conv2d:
            return _conv2d(*args, **given)
        if func is F.linear:
            return _linear(*args, **given)
        if func in (F.relu, torch.relu, torch.Tensor.relu) and not _in_place(args, given):
            return _Relu.apply(args[0] if args else given["input"])
        if func is torch.Tensor.view and _is_shape(args[1:]) and not given:
            return _viewed(*args)
        return func(*args, **given)


def _in_place(args: tuple[Any, ...], given: Mapping[str, Any]) -> bool:
    return bool(given.get("inplace", args[1] if len(args) > 1 else False))


def _viewed(given: Tensor, *sizes: Any) -> Tensor:
    """A view where there can be one: what is written into it shall be written into `given`."""
    try:
        return given.view(*sizes)
    except RuntimeError:
        return given.reshape(*sizes)


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


def _linear(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    learns = any(t is not None and t.requires_grad for t in (weight, bias))
    if (
        learns
        or given.ndim != 2
        or weight.ndim != 2
        or given.dtype != weight.dtype
        or torch.is_autocast_enabled("cpu")
    ):
        return F.linear(given, weight, bias)
    found: Tensor = _Linear.apply(given, weight, bias)
    return found


class _Linear(torch.autograd.Function):
    """A linear layer; its gradient by the input alone."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return product(given, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        only_once()
        return product(gradient, ctx.weight.t()), None, None


def only_once() -> None:
    """Let a gradient pass, but not the gradient of a gradient, which would be wrong.

    Raises:
        InvalidModel: it is wanted (`create_graph`).
    """
    if torch.is_grad_enabled():
        raise InvalidModel("the way through the model is differentiable once, and not twice")


def laid(images: Tensor) -> Tensor:
    """A copy with the channels last, into which a model may write; differentiable."""
    found: Tensor = _Laid.apply(images)
    return found


class _Laid(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, images: Tensor) -> Tensor:
        return channels_last(images.clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Relu(torch.autograd.Function):
    """max(0, input); where the input is 0 the gradient is 0, as torch has it."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        found = images.clamp_min(0)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        only_once()
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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        only_once()
        way: Back = _cached(ctx.weight, by_input, ctx.stride, ctx.padding)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return way(gradient, ctx.shape[1:]), None, None, None, None


# Forms of weights that were asked for, by what made them; see `forget`.
_FORMS = WeakTensorKeyDictionary()


def forget() -> None:
    """Make every form of a weight anew when it is next asked for.

    Called whenever a model is put on its quickest way. A weight's own version does not tell whether
    it has changed: a fused optimiser, `.data` and `.double()` change it without a trace.
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
    found = images.contiguous(memory_format=torch.channels_last)
    return found.as_strided(images.shape, (channels * high * wide, 1, channels * wide, channels))


def product(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `F.linear` gives, by oneDNN where it is at hand and there is much to do.

    torch asks MKL, which takes twice as long on an AMD EPYC.
    """
    much = len(given) * weight.numel() > _MUCH and torch.backends.mkldnn.enabled
    if _ONE_DNN and much and given.device.type == "cpu" and given.dtype == torch.float32:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(given, weight, bias, "none", [], "")
        return found
    return F.linear(given, weight, bias)


def by_input(weight: Tensor, stride: int, padding: int) -> Back:
    """The way back through a convolution of square kernels, with all forms of its weight made."""
    if weight.shape[1] <= _FEW:
        return partial(_scattered, _by_place(weight, stride), stride, padding)
    if stride > 1:
        return partial(_by_phase, _phases(weight, stride), stride, padding)
    return partial(_usual, channels_last(weight), padding)


def _by_place(weight: Tensor, stride: int) -> Tensor:
    """One row for every place of the kernel, which is made up to whole steps: `[c, s, s, out]`."""
    return _whole_steps(weight, stride).permute(1, 2, 3, 0).contiguous()


def _whole_steps(weight: Tensor, stride: int) -> Tensor:
    missing = -weight.shape[2] % stride
    return F.pad(weight, (0, missing, 0, missing))


def _scattered(
    weight: Tensor, stride: int, padding: int, gradient: Tensor, shape: torch.Size
) -> Tensor:
    """One product for every place of the kernel, added up where the places meet.

    Places whose pixels lie alike between two steps are added into the same plane: first those of
    a column, in which there is much to add in one go, then what the columns have become.
    """
    n, out, high, wide = gradient.shape
    channels, side = weight.shape[:2]
    taps = side // stride
    pixels = gradient.permute(0, 2, 3, 1).reshape(-1, out)
    # With the images last there is one large product, not a small one for each image.
    places = product(weight.view(-1, out), pixels).view(channels, taps, stride, side, n, high, wide)
    rows = places.new_zeros((channels, stride, side, n, high + taps - 1, wide))
    for tap in range(taps):
        rows[..., tap : tap + high, :] += places[:, tap]
    columns = rows.view(channels, stride, taps, stride, n, high + taps - 1, wide)
    planes = rows.new_zeros((channels, stride, stride, n, high + taps - 1, wide + taps - 1))
    for tap in range(taps):
        planes[..., tap : tap + wide] += columns[:, :, tap]
    whole = planes.permute(3, 0, 4, 1, 5, 2).reshape(
        n, channels, planes.shape[4] * stride, planes.shape[5] * stride
    )
    return _cut(whole, padding, shape)


def _cut(whole: Tensor, padding: int, shape: torch.Size) -> Tensor:
    """Without the padding; pixels behind the last whole step, which nobody looked at, are 0."""
    ends = [padding + size for size in shape[1:]]
    missing = [max(0, end - had) for end, had in zip(ends, whole.shape[2:], strict=True)]
    if any(missing):
        whole = F.pad(whole, (0, missing[1], 0, missing[0]))
    return whole[:, :, padding : ends[0], padding : ends[1]]


def _by_phase(
    kernel: Tensor, stride: int, padding: int, gradient: Tensor, shape: torch.Size
) -> Tensor:
    """A forward convolution, which is quicker, for all pixels that lie alike between two steps.

    Pixel stride * q + r, counted from the padding's edge, meets the kernel at r, r + stride, ...:
    a convolution with stride 1, whose output channels are the input channels for each r.
    """
    found = torch.conv2d(gradient, kernel, padding=kernel.shape[2] - 1)
    return _cut(F.pixel_shuffle(found, stride), padding, shape)


def _phases(weight: Tensor, stride: int) -> Tensor:
    """The kernel of `_by_phase`: an output channel for each input channel, row and column."""
    padded = _whole_steps(weight, stride)
    out, channels, side, _ = padded.shape
    taps = side // stride
    phases = padded.view(out, channels, taps, stride, taps, stride).flip(2, 4)
    return channels_last(phases.permute(1, 3, 5, 0, 2, 4).reshape(-1, out, taps, taps))


def _usual(weight: Tensor, padding: int, gradient: Tensor, shape: torch.Size) -> Tensor:
    """As torch does it."""
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        gradient,
        gradient.new_empty(1).expand(len(gradient), *shape),
        weight,
        None,
        (1, 1),
        (padding, padding),
        (1, 1),
        False,  # noqa: FBT003 - not transposed
        (0, 0),
        1,
        (True, False, False),
    )[0]
