"""Translation: out of the middle."""

import torch

from unfooled.affine import seen_through
from unfooled.corruption import unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

_PIXELS = (1, 2, 3, 4, 5)


def translate(images: Images, *, severity: int, draws: Draws) -> Images:
    """The images shifted along both axes by as many pixels, in one of the four directions.

    MNIST-C itself holds severity 3.

    Source: MNIST-C, see `corruption.py`.
    """
    shift = draws.signs(images.new_empty(len(images), 2))
    still = torch.eye(2, dtype=images.dtype, device=images.device).expand(len(images), -1, -1)
    return seen_through(images, still, shift * _PIXELS[severity - 1] * unit(images))
