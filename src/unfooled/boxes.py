"""Transformations by a rectangle in the image: crops and erasing, for a whole batch.

As in torchvision, one draw for each image: the same parameters, ranges and roundings.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unfooled.affine import sampled
from unfooled.drawn import Form, several, sometimes, whole
from unfooled.errors import InvalidTransform
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Mask
from unfooled.warps import mode

_TRIES = 10  # rectangles that torchvision draws before it gives up
_PADDING = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}


def inside(
    images: Images, top: Labels, left: Labels, bottom: Labels, right: Labels
) -> Bool[Tensor, "n 1 h w"]:
    """Which pixels stand in each image's rectangle; `bottom` and `right` are just outside."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[:, None]
    columns = torch.arange(width, device=images.device)
    top, left, bottom, right = (side[:, None, None] for side in (top, left, bottom, right))
    return ((top <= rows) & (rows < bottom) & (left <= columns) & (columns < right))[:, None]


def _same_size(made: Any, images: Images) -> None:
    if tuple(made.size) != tuple(images.shape[2:]):
        height, width = images.shape[2:]
        raise InvalidTransform(
            f"size is {' x '.join(map(str, made.size))}, but must be the images' own, "
            f"{height} x {width}: the shape must stay"
        )


def _crop(made: Any, images: Images, draws: Draws) -> Images:
    _same_size(made, images)
    height, width = images.shape[2:]
    padding = made.padding or [0, 0, 0, 0]
    padded = F.pad(images, padding, _PADDING[made.padding_mode])
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    top = whole(windows.shape[2], "top", images, draws)
    left = whole(windows.shape[3], "left", images, draws)
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def _sides(
    made: Any, images: Images, draws: Draws
) -> tuple[Float[Tensor, "n tries"], Float[Tensor, "n tries"]]:
    """Two sides of rectangles, in whole pixels: areas uniform, ratios of the sides log-uniform.

    The first side is the ratio times the second.
    """
    height, width = images.shape[2:]
    area = height * width * several(made.scale, _TRIES, "area", images, draws)
    low, high = torch.tensor(made.ratio, dtype=torch.float64).log().tolist()
    ratio = several((low, high), _TRIES, "ratio", images, draws).exp()
    return (area * ratio).sqrt().round(), (area / ratio).sqrt().round()


def _first(
    fits: Bool[Tensor, "n tries"], *sides: Float[Tensor, "n tries"]
) -> tuple[Mask, list[Labels]]:
    """Whether a rectangle fits, and the sides of the first that does."""
    first = fits.int().argmax(1, keepdim=True)
    return fits.any(1), [side.gather(1, first)[:, 0].long() for side in sides]


def _resized_crop(made: Any, images: Images, draws: Draws) -> Images:
    _same_size(made, images)
    height, width = images.shape[2:]
    wides, talls = _sides(made, images, draws)
    fits = (wides > 0) & (wides <= width) & (talls > 0) & (talls <= height)
    found, (wide, tall) = _first(fits, wides, talls)
    # Where none of them fits: as much of the middle as the ratio allows.
    narrow, broad = min(made.ratio), max(made.ratio)
    wide = torch.where(found, wide, min(width, round(height * broad)))
    tall = torch.where(found, tall, min(height, round(width / narrow)))
    top = torch.where(found, whole(height - tall + 1, "top", images, draws), (height - tall) // 2)
    left = torch.where(found, whole(width - wide + 1, "left", images, draws), (width - wide) // 2)
    how = mode(made)
    across = _STRETCHED[how](wide, width) + left[:, None] - (width - 1) / 2
    down = _STRETCHED[how](tall, height) + top[:, None] - (height - 1) / 2
    return sampled(images, across[:, None], down[:, :, None], how)


def _bilinear(length: Labels, side: int) -> Float[Tensor, "n side"]:
    """Where in a length each pixel of the whole side lies; no smoothing, since none shrinks."""
    places = (torch.arange(side, device=length.device) + 0.5) * (length / side)[:, None] - 0.5
    return torch.minimum(places.clamp(min=0), length[:, None] - 1.0)


def _nearest(length: Labels, side: int) -> Float[Tensor, "n side"]:
    return (torch.arange(side, device=length.device) * (length / side)[:, None]).floor()


_STRETCHED = {"bilinear": _bilinear, "nearest": _nearest}


def _erased(made: Any, images: Images, draws: Draws) -> Images:
    height, width = images.shape[2:]
    talls, wides = _sides(made, images, draws)
    found, (tall, wide) = _first((talls < height) & (wides < width), talls, wides)
    top = whole(height - tall + 1, "top", images, draws)
    left = whole(width - wide + 1, "left", images, draws)
    gone = inside(images, top, left, top + tall, left + wide) & found[:, None, None, None]
    value = images.new_tensor(made.value)[None, :, None, None]
    return torch.where(gone, value, images)


BATCHED: dict[str, Form] = {
    "RandomCrop": _crop,
    "RandomResizedCrop": _resized_crop,
    "RandomErasing": sometimes(_erased),
}
