"""Logits, loss and input gradient of a model that stays as it is: every attack's inner loop.

Parameters are frozen while a gradient is taken. That saves the weight gradients (about 15 % of a
pass on a small CNN) and leaves nothing behind in the user's `.grad`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from unfooled import memory
from unfooled.chain import chain
from unfooled.errors import InvalidInput, InvalidModel
from unfooled.kernels import Quick, forget, laid
from unfooled.shapes import Images, Labels, Logits, PerImage

Loss = Callable[[Logits, Labels, Labels | None], PerImage]
Model = Callable[[Images], Logits]  # an `nn.Module`, or one that has been told more

# A pass is quickest on a CPU when its largest layer fits into the cache, and slow when its tensors
# are so large (over 32 MB) that they are given back to the system and zeroed again each time.
_LARGEST_LAYER = {"cpu": 2**19}  # numbers in the largest layer's output, of all images together
_ELSEWHERE = 2**28
_PART = (32, 1000)  # images a pass, at least and at most
_READ = {"cpu": 64}  # images a pass of `predict`
_TRIED = 4  # images on which a quick way is tried
_SAME = 1e-3  # of the largest, by which logits and gradients of two ways may differ
# Up to so many images, their number is made a multiple of this.
_ROUND = ((16, 1), (64, 4), (256, 16), (2**62, 32))


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and without parameter gradients; afterwards as it was."""
    modes = [(module, module.training) for module in model.modules()]
    # Those made under `torch.inference_mode` have none, and cannot be told so.
    trainable = [p for p in model.parameters() if p.requires_grad and not p.is_inference()]
    rounds = torch.backends.cudnn.allow_tf32
    model.eval()
    # Rounded to 10 bits, as a GPU does by default, an image at the boundary is read now so, now so.
    torch.backends.cudnn.allow_tf32 = False
    for parameter in trainable:
        parameter.requires_grad = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = rounds
        for module, training in modes:
            module.training = training
        for parameter in trainable:
            parameter.requires_grad = True


def home(model: nn.Module) -> torch.device:
    """The device of a model's first parameter; the CPU where it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def forward(model: Model, images: Images) -> Logits:
    """The model's logits.

    Raises:
        InvalidModel: the model returns something that is not one row of logits for each image.
    """
    logits = model(images)
    if not isinstance(logits, torch.Tensor):
        raise InvalidModel(
            f"the model returned a {type(logits).__name__}; it must return one tensor of logits"
        )
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise InvalidModel(
            f"the model returned the shape {list(logits.shape)} for {len(images)} images; "
            f"logits have the shape [{len(images)}, number of classes]"
        )
    return logits if logits.is_floating_point() else logits.to(images.dtype)


def quickened(model: nn.Module, images: Images) -> Model:
    """A frozen model on its quickest way, for images like these: equal but for float rounding.

    What is not known in a model may do what no other way can follow, such as writing into a view,
    drawing numbers, or taking a gradient itself. So a way through it is tried on a few of the
    images first, and taken only where logits and gradient are torch's.
    """
    if images.device.type != "cpu":
        return partial(forward, model)
    forget()
    try:
        found = chain(model, images)
    except Exception as error:  # as in `_alike`
        if memory.exhausted(error):
            raise
        found = None
    if found is not None and found.known:
        return partial(_rounded_up, found)
    some = images[:: max(1, len(images) // _TRIED)][:_TRIED].detach()
    plain = partial(_on_a_copy, model)
    for way in (found, partial(_kernels_changed, model)):
        if way is not None and _alike(way, plain, some):
            return partial(_rounded_up, way)
    return partial(_rounded_up, plain)


def _alike(way: Model, plain: Model, images: Images) -> bool:
    """Whether logits and gradient are those of torch's own way."""
    try:
        return all(
            torch.allclose(one, two, rtol=_SAME, atol=_SAME * float(one.abs().max()))
            for one, two in zip(_looked_at(plain, images), _looked_at(way, images), strict=True)
        )
    except Exception as error:  # torch's own way meets it too, and says so, or does not
        if memory.exhausted(error):  # with fewer images in hand the same way shall be taken
            raise
        return False


def _looked_at(way: Model, images: Images) -> tuple[Logits, Images]:
    """Logits, and a gradient in which every logit takes part."""
    with torch.enable_grad():
        leaf = images.clone().requires_grad_()
        logits = forward(way, leaf)
        weights = torch.linspace(1, 2, logits.shape[1], dtype=logits.dtype)
        return logits.detach(), torch.autograd.grad((logits * weights).sum(), leaf)[0]


def _on_a_copy(model: nn.Module, images: Images) -> Logits:
    """As it is; it may write into what it is given."""
    return model(images.clone())  # type: ignore[no-any-return]


def _kernels_changed(model: nn.Module, images: Images) -> Logits:
    copy = laid(images)
    with Quick():
        return model(copy)  # type: ignore[no-any-return]


def _rounded_up(model: Model, images: Images) -> Logits:
    """The logits, asked for with the images made up to a round number.

    oneDNN compiles each layer anew for each number of images that it has not met, and the images
    that stand get fewer with every step.
    """
    n = len(images)
    missing = rounded(n) - n
    if missing:
        images = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
    return forward(model, images)[:n]


def rounded(n: int) -> int:
    """The number of images that n are made up to."""
    step = next(step for most, step in _ROUND if n <= most)
    return -(-n // step) * step


def predict(model: nn.Module, images: Images, *, batch: int | None = None) -> Logits:
    """The logits of any number of images, in eval mode, without gradients, in torch's own way.

    Larger batches than the default are slower on a CPU: their layers leave the cache, and are given
    back to the system and zeroed again each time. Where memory ends they are smaller.

    Raises:
        InvalidInput: there are no images.
        InvalidModel: see `forward`.
        OutOfMemory: memory has no room for one image.
    """
    if not len(images):
        raise InvalidInput("there are no images to read")
    size = batch or _READ.get(images.device.type, 500)
    with frozen(model), torch.no_grad():
        # Of about one size: a last part of one image is more than some networks can read.
        even = memory.evened(len(images), size)
        parts = memory.each(len(images), even, lambda part: forward(model, images[part].clone()))
        return torch.cat(list(parts))


class _Widest(TorchFunctionMode):
    """Notes the largest output of any layer while a model runs."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 1

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **dict(kwargs or {}))
        if isinstance(found, Tensor):
            self.size = max(self.size, found.numel())
        return found


def part_size(model: Model, images: Images) -> int:
    """How many of these images go through a model at once, by the size of its layers."""
    with torch.no_grad(), _Widest() as widest:
        forward(model, images[:2].clone())
    some = len(images[:2])
    room = _LARGEST_LAYER.get(images.device.type, _ELSEWHERE)
    return int(min(max(_PART[0], room * some // widest.size // 32 * 32), _PART[1]))


def gradient(
    model: Model, images: Images, labels: Labels, targets: Labels | None, loss: Loss
) -> tuple[Logits, PerImage, Images]:
    """Logits, loss and its gradient by the pixels, in one pass; call it on a `frozen` model.

    Works under `torch.no_grad()` too.

    Raises:
        InvalidModel: the gradient is NaN or infinite. Its sign would be 0 or wrong, the attack
            would stand still, and the model would look robust.
    """
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        logits = forward(model, leaf)
        losses = loss(logits, labels, targets)
        # Summed, not averaged: an image's gradient must not depend on the batch it came in.
        by_pixel = _by_pixel(losses.sum(), leaf)
    return logits.detach(), losses.detach(), by_pixel


def jacobian(model: Model, images: Images) -> tuple[Logits, Float[Tensor, "n k c h w"]]:
    """Logits and the gradient of each by the pixels; call it on a `frozen` model.

    Raises:
        InvalidModel: as `gradient`.
    """
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        logits = forward(model, leaf)
        sums = logits.sum(0)
        found = [_by_pixel(one, leaf, again=True) for one in sums]
    return logits.detach(), torch.stack(found, dim=1)


def evened(by_pixel: Images) -> Images:
    """Each image's gradient with a mean size of 1, so that momentum weighs all steps alike."""
    size = by_pixel.abs().mean((1, 2, 3), keepdim=True)
    return by_pixel / size.clamp_min(1e-30)


def _by_pixel(total: Tensor, leaf: Images, *, again: bool = False) -> Images:
    by_pixel = None
    if total.requires_grad:
        (by_pixel,) = torch.autograd.grad(total, leaf, retain_graph=again, allow_unused=True)
    if by_pixel is None and torch.is_inference_mode_enabled():
        raise InvalidModel(
            "under torch.inference_mode() there are no gradients; use torch.no_grad()"
        )
    if by_pixel is None:
        raise InvalidModel("the model gives no gradient: its output does not depend on the pixels")
    # The sums tell, at a tenth of the time, whether it is worth looking at each pixel.
    if not bool(by_pixel.sum((1, 2, 3)).isfinite().all()):
        _check_finite(by_pixel)
    return by_pixel


def _check_finite(by_pixel: Images) -> None:
    bad = ~by_pixel.flatten(1).isfinite().all(1)
    if bad.any():
        raise InvalidModel(
            f"the gradient is NaN or infinite for {int(bad.sum())} of {len(bad)} images; "
            "an attack that follows it cannot say anything about this model"
        )
