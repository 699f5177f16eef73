"""Transformations of training images, by torchvision's names and parameters.

One independent draw for each image. torchvision validates the parameters; where kornia has the
equivalent a whole batch is transformed at once, otherwise torchvision transforms image by image.
Draws belong to an image's id, not to its place in a batch.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfooled import catalog
from unfooled.errors import InvalidTransform, UnknownName
from unfooled.randomness import Draws
from unfooled.shapes import Images, PerImage

Apply = Callable[[Images, Draws], Images]


@dataclass(frozen=True)
class Transform:
    """A transformation with its parameters set.

    Attributes:
        name: torchvision's, or the user's `file.py:function`.
        apply: float images in [0, 1] to the same shape and range, one draw for each image.
        how: "batched", "image by image", or why a batch function is called image by image.
    """

    name: str
    apply: Apply
    how: str


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
    """All of them, one after the other, each with draws of its own."""

    def apply(images: Images, draws: Draws) -> Images:
        for place, transform in enumerate(transforms):
            images = transform.apply(images, draws.step(place))
        return images

    return apply


def names() -> list[str]:
    """Every transformation that torchvision has."""
    from torchvision.transforms import v2

    return sorted(
        name
        for name, member in inspect.getmembers(v2, inspect.isclass)
        if issubclass(member, v2.Transform) and member is not v2.Transform
    )


def how(name: str) -> str:
    """How a transformation of torchvision's is applied: "batched" or "image by image"."""
    return "batched" if name in _BATCHED else "image by image"


def _torchvisions(name: str, options: Mapping[str, Any]) -> Transform:
    from torchvision.transforms import InterpolationMode, v2

    if name not in names():
        raise UnknownName(f"{catalog.unknown(name, names())} (torchvision's transformations)")
    given = dict(options)
    try:
        if "interpolation" in given:
            given["interpolation"] = InterpolationMode(given["interpolation"])
        made = getattr(v2, name)(**given)
    except (TypeError, ValueError) as error:
        raise InvalidTransform(f"{name} with {dict(options)}: {error}") from error
    batched = _BATCHED.get(name)
    bicubic = getattr(made, "interpolation", None) == InterpolationMode.BICUBIC
    if batched is not None and not bicubic and not _ONLY_TORCHVISION & given.keys():
        return Transform(name, lambda images, draws: batched(made, images, draws), "batched")
    return Transform(name, _one_by_one(made), "image by image")


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
    try:
        result = transform.apply(images, Draws(0, "try out"))
    except Exception as error:
        raise InvalidTransform(
            f"{transform.name} cannot transform float images {list(images.shape)}: {error}"
        ) from error
    if not isinstance(result, Tensor) or result.shape != images.shape:
        came = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise InvalidTransform(
            f"{transform.name} turns images of the shape {list(images.shape)} into {came}; "
            "the shape must stay"
        )
    if not bool(result.isfinite().all()):
        raise InvalidTransform(f"{transform.name} returns NaN or infinite pixels")
    low, high = float(result.min()), float(result.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise InvalidTransform(
            f"{transform.name} returns pixels from {low:.3g} to {high:.3g}; "
            "they must stay in [0, 1]"
        )


def _made_up(channels: int, size: int) -> Images:
    return Draws(0, "made-up images").uniform(torch.empty(4, channels, size, size))


def _ids(images: Images, draws: Draws) -> Tensor:
    return torch.arange(len(images)) if draws.ids is None else draws.ids


def _between(bounds: Sequence[float], name: str, images: Images, draws: Draws) -> PerImage:
    """One uniform number for each image."""
    low, high = bounds
    return low + (high - low) * draws.step(name).uniform(images[:, 0, 0, 0])


def _warped(
    made: Any, images: Images, angle: PerImage, shift: Tensor, scale: PerImage, shear: Tensor
) -> Images:
    """Images rotated clockwise by `angle` degrees, then sheared, scaled and shifted, by kornia."""
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine
    from torchvision.transforms import InterpolationMode

    size = images.shape[-1]
    middle = images.new_full((len(images), 2), (size - 1) / 2)
    matrix = get_affine_matrix2d(
        shift, middle, scale[:, None].expand(-1, 2), angle, *shear.deg2rad().unbind(1)
    )
    bilinear = made.interpolation == InterpolationMode.BILINEAR
    return warp_affine(
        images,
        matrix[:, :2],
        (size, size),
        mode="bilinear" if bilinear else "nearest",
        padding_mode="zeros",
        align_corners=True,
    )


def _rotation(made: Any, images: Images, draws: Draws) -> Images:
    angle = _between(made.degrees, "angle", images, draws)
    still = images.new_zeros(len(images), 2)
    # torchvision rotates counter-clockwise here, but clockwise in RandomAffine.
    return _warped(made, images, -angle, still, torch.ones_like(angle), still)


def _affine(made: Any, images: Images, draws: Draws) -> Images:
    size = images.shape[-1]
    angle = _between(made.degrees, "angle", images, draws)
    across, down = (share * size for share in made.translate or (0, 0))
    shift = torch.stack(
        [
            # torchvision shifts by whole pixels
            _between((-across, across), "across", images, draws).round(),
            _between((-down, down), "down", images, draws).round(),
        ],
        dim=1,
    )
    scale = _between(made.scale or (1, 1), "scale", images, draws)
    x_low, x_high, y_low, y_high = (*(made.shear or (0, 0)), 0, 0)[:4]
    shear = torch.stack(
        [
            _between((x_low, x_high), "shear x", images, draws),
            _between((y_low, y_high), "shear y", images, draws),
        ],
        dim=1,
    )
    return _warped(made, images, angle, shift, scale, shear)


def _noise(made: Any, images: Images, draws: Draws) -> Images:
    noisy = images + draws.normal(images).mul_(made.sigma).add_(made.mean)
    return noisy.clamp_(0, 1) if made.clip else noisy


def _flip(axis: int) -> Callable[[Any, Images, Draws], Images]:
    def apply(made: Any, images: Images, draws: Draws) -> Images:
        turned = _between((0, 1), "flip", images, draws) < made.p
        return torch.where(turned[:, None, None, None], images.flip(axis), images)

    return apply


_ONLY_TORCHVISION = {"fill", "center", "expand"}  # parameters that the batched forms do not know
_BATCHED: dict[str, Callable[[Any, Images, Draws], Images]] = {
    "RandomRotation": _rotation,
    "RandomAffine": _affine,
    "GaussianNoise": _noise,
    "RandomHorizontalFlip": _flip(3),
    "RandomVerticalFlip": _flip(2),
}
