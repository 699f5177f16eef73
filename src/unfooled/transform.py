"""Transformations of training images, by torchvision's names and parameters.

One independent draw for each image, which belongs to its id, not to its place in a batch.
torchvision validates the parameters. Where there is a batched form (`warps`, `boxes`, `tones`,
`policies`, `mixes`) a whole batch is transformed at once, otherwise torchvision does it image by
image.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfooled import boxes, catalog, mixes, policies, tones, warps
from unfooled.drawn import Form
from unfooled.errors import InvalidTransform, UnknownName
from unfooled.mixes import Mixed
from unfooled.randomness import Draws
from unfooled.shapes import Images

Apply = Callable[[Images, Draws], Images]
# Mixed images, each one's partner as a place in the batch, and the share of the label it keeps.
Mix = Callable[[Images, Draws], Mixed]

_BATCHED: dict[str, Form] = {**warps.BATCHED, **boxes.BATCHED, **tones.BATCHED, **policies.BATCHED}
# Parameters that the batched forms do not know, unless they ask for black as is usual.
_ONLY_TORCHVISIONS = ("fill", "center", "expand", "pad_if_needed")
_KNOWN_FROM_DATA = ("num_classes", "labels_getter")
_MIRRORED = ("RandomHorizontalFlip", "RandomVerticalFlip")


@dataclass(frozen=True)
class Transform:
    """A transformation with its parameters set.

    Attributes:
        name: torchvision's, or the user's `file.py:function`.
        apply: float images in [0, 1] to the same shape and range, one draw for each image.
        how: "batched", "image by image", or why a batch function is called image by image.
        mix: what mixes images and labels, of those that do; their `apply` changes nothing, so
            images that are only looked at stay as they are.
    """

    name: str
    apply: Apply
    how: str
    mix: Mix | None = None


def find(name: str, options: Mapping[str, Any], *, channels: int, size: int) -> Transform:
    """The transformation of that name, tried out on made-up images of this shape.

    Raises:
        UnknownName: torchvision has none of that name.
        InvalidTransform: a parameter is wrong, or the result has another shape, is not finite, or
            leaves [0, 1].
    """
    found = _users(name, options, channels, size) if ":" in name else _torchvisions(name, options)
    _try_out(found, channels, size)
    return found


def check(name: str, options: Mapping[str, Any]) -> None:
    """Whether there is such a transformation with such parameters; `find` also tries it out.

    Raises:
        UnknownName: there is none.
        InvalidTransform: torchvision refuses a parameter.
    """
    if ":" in name:
        catalog.function("transforms", name)
    else:
        _torchvisions(name, options)


def composed(transforms: Sequence[Transform]) -> Apply:
    """All of them, one after the other, each with draws of its own; what mixes changes nothing."""

    def apply(images: Images, draws: Draws) -> Images:
        for place, transform in enumerate(transforms):
            images = transform.apply(images, draws.step(place))
        return images

    return apply


def mixing(transforms: Sequence[Transform]) -> Mix | None:
    """What mixes the images and labels of a batch after `composed`; None where nothing does.

    Raises:
        InvalidTransform: more than one mixes, or one that is not the last.
    """
    mixers = [(at, one.name, one.mix) for at, one in enumerate(transforms) if one.mix is not None]
    if not mixers:
        return None
    if len(mixers) > 1:
        both = " and ".join(name for _, name, _ in mixers)
        raise InvalidTransform(f"{both} mix images and labels; a recipe can have one such at most")
    place, name, mix = mixers[0]
    if place != len(transforms) - 1:
        raise InvalidTransform(
            f"{name} mixes images and labels, so it must be the last transformation; "
            f"{transforms[-1].name} stands after it"
        )
    return lambda images, draws: mix(images, draws.step(place))


def doubt(name: str, classes: Sequence[str]) -> str:
    """Why a transformation may spoil these classes, in one sentence; empty if nothing is known."""
    digits = [one for one in classes if len(one) == 1 and one.isdecimal()]
    if name not in _MIRRORED or not digits:
        return ""
    return (
        f"{name} mirrors digits, and a mirrored digit is another sign (a 2 is no longer a 2): the "
        "network is trained on images that do not show what their labels say."
    )


def names() -> list[str]:
    """Every transformation of torchvision's that changes images and leaves them images."""
    return sorted(_classes() - _UNFIT)


def _classes() -> set[str]:
    from torchvision.transforms import v2

    members = inspect.getmembers(v2, inspect.isclass)
    return {name for name, member in members if issubclass(member, v2.Transform)}


def line(name: str) -> str:
    """What a transformation of torchvision's does, in torchvision's words."""
    from torchvision.transforms import v2

    first = (inspect.getdoc(getattr(v2, name)) or "").partition("\n\n")[0]
    words = re.sub(r"\s*<[^>]*>`_|`", "", " ".join(first.split()))
    return f"{words.partition('. ')[0].rstrip('.')}."


def how(name: str) -> str:
    """How a transformation of torchvision's is applied: "batched" or "image by image"."""
    return "batched" if name in _BATCHED or name in mixes.MIXES else "image by image"


def _torchvisions(name: str, options: Mapping[str, Any]) -> Transform:
    from torchvision.transforms import InterpolationMode, v2

    if name not in _classes():
        raise UnknownName(f"{catalog.unknown(name, names())} (torchvision's transformations)")
    given = dict(options)
    try:
        if "interpolation" in given:
            given["interpolation"] = InterpolationMode(given["interpolation"])
        made = getattr(v2, name)(**given)
    except (TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise InvalidTransform(f"{name} with {dict(options)}: {why}") from error
    if name in mixes.MIXES:
        return _mixer(name, made, given)
    batched = _BATCHED.get(name)
    if batched is not None and _covered(made, given):
        return Transform(name, lambda images, draws: batched(made, images, draws), "batched")
    return Transform(name, _one_by_one(made), "image by image")


def _covered(made: Any, given: Mapping[str, Any]) -> bool:
    """Whether the batched form knows all parameters."""
    from torchvision.transforms import InterpolationMode

    usual = InterpolationMode.NEAREST, InterpolationMode.BILINEAR
    return (
        InterpolationMode(getattr(made, "interpolation", usual[0])) in usual
        and not any(given.get(name) not in (None, 0) for name in _ONLY_TORCHVISIONS)
        and getattr(made, "padding_mode", "") != "symmetric"
        and getattr(made, "value", 0) is not None  # RandomErasing's noise
    )


def _mixer(name: str, made: Any, given: Mapping[str, Any]) -> Transform:
    for known in _KNOWN_FROM_DATA:
        if known in given:
            raise InvalidTransform(f"{name}: {known} is known from the data; leave it out")
    member = mixes.MIXES[name]
    return Transform(
        name,
        lambda images, draws: images,  # noqa: ARG005
        "batched",
        lambda images, draws: member(made, images, draws),
    )


def _users(name: str, options: Mapping[str, Any], channels: int, size: int) -> Transform:
    """The user's function of a batch; called image by image if it draws once for a whole batch."""
    function = catalog.function("transforms", name)

    def batched(images: Images, draws: Draws) -> Images:
        with draws.torch_state(int(_ids(images, draws)[0]) if len(images) else None):
            return function(images, **options)  # type: ignore[no-any-return]

    copies = _made_up(channels, size)[:1].expand(8, -1, -1, -1).clone()
    try:
        # Many tries: a change that is made to one batch in four may not show in two of them.
        tries = [batched(copies, Draws(seed)) for seed in range(20)]
        random = not all(torch.equal(batch, tries[0]) for batch in tries)
        shared = all(bool((batch == batch[:1]).all()) for batch in tries)
    except Exception as error:
        raise InvalidTransform(f"{name} raised {type(error).__name__}: {error}") from error
    if random and shared:
        how = "it draws once for a whole batch, so it is called image by image"
        return Transform(name, _one_by_one(lambda image: function(image[None], **options)[0]), how)
    return Transform(name, batched, "batched")


def _one_by_one(function: Callable[[Tensor], Tensor]) -> Apply:
    def apply(images: Images, draws: Draws) -> Images:
        results = []
        for image, identity in zip(images, _ids(images, draws).tolist(), strict=True):
            with draws.torch_state(identity):
                results.append(function(image))
        return torch.stack(results)

    return apply


def _try_out(transform: Transform, channels: int, size: int) -> None:
    images = _made_up(channels, size)
    # Many tries: what happens to one image in two may not happen to any of four.
    for seed in range(8):
        draws = Draws(seed, "try out")
        try:
            result = transform.apply(images, draws)
            if transform.mix is not None:
                result = transform.mix(images, draws)[0]
        except Exception as error:
            raise InvalidTransform(
                f"{transform.name} cannot transform float images {list(images.shape)}: {error}"
            ) from error
        _judge(transform.name, images, result)


def _judge(name: str, images: Images, result: Any) -> None:
    if not isinstance(result, Tensor) or result.shape != images.shape:
        came = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise InvalidTransform(
            f"{name} turns images of the shape {list(images.shape)} into {came}; "
            "the shape must stay"
        )
    if not bool(result.isfinite().all()):
        raise InvalidTransform(f"{name} returns NaN or infinite pixels")
    low, high = float(result.min()), float(result.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise InvalidTransform(
            f"{name} returns pixels from {low:.3g} to {high:.3g}; they must stay in [0, 1]"
        )


def _made_up(channels: int, size: int) -> Images:
    return Draws(0, "made-up images").uniform(torch.empty(4, channels, size, size))


def _ids(images: Images, draws: Draws) -> Tensor:
    return torch.arange(len(images)) if draws.ids is None else draws.ids


# They need functions or boxes, or make something else of an image, or another size.
_UNFIT = {
    *("Transform", "Compose", "Identity", "Lambda", "LinearTransformation", "Normalize"),
    *("RandomApply", "RandomChoice", "RandomOrder", "SetClampingMode"),
    *("ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "SanitizeBoundingBoxes"),
    *("SanitizeKeyPoints", "UniformTemporalSubsample", "RandomIoUCrop", "RandomZoomOut"),
    *("ConvertImageDtype", "PILToTensor", "ToDtype", "ToImage", "ToPILImage", "ToPureTensor"),
    *("ToTensor", "JPEG", "RGB", "FiveCrop", "TenCrop", "Pad", "CenterCrop", "Resize"),
    *("RandomResize", "RandomShortestSize", "ScaleJitter"),
}
