"""White strokes of a pen over images: how thick a line is, and how it falls on the pixels."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unfooled.corruption import fine, unit
from unfooled.shapes import Images, PerImage

_FADES = 2.3  # pixels; the ink is log(1 - distance / 2.3) + 1, and none where that is negative


def paper(images: Images) -> tuple[Float[Tensor, "1 tall 1"], Float[Tensor, "1 1 wide"]]:
    """Rows and columns to draw at, counted in the pixels of an image of 28 x 28, from 0 to 27."""
    dense, length = fine(images), unit(images)
    rows, columns = (
        (torch.arange(side * dense, device=images.device, dtype=images.dtype) + 0.5)
        .div_(dense * length)
        .sub_(0.5)
        for side in images.shape[2:]
    )
    return rows[None, :, None], columns[None, None, :]


def drawn(images: Images, distance: Float[Tensor, "n tall wide"]) -> Images:
    """The images with a white line on them, given how far each place of the paper is from it."""
    ink = (-distance.clamp(max=_FADES * (1 - math.exp(-1))) / _FADES).log1p_().add_(1).clamp_(min=0)
    return (images + F.avg_pool2d(ink[:, None], fine(images))).clamp_(0, 1)


def between(low: float, high: float, chance: PerImage) -> Float[Tensor, "n 1 1"]:
    """Numbers between two ends, one for the paper of each image."""
    return (low + (high - low) * chance)[:, None, None]
