"""Shear: leaning to one side."""

import math

import torch

from unfooled.affine import seen_through
from unfooled.randomness import Draws
from unfooled.shapes import Images

_ANGLES = (0.2, 0.4, 0.6, 0.8, 1.0)  # radians


def shear(images: Images, *, severity: int, draws: Draws) -> Images:
    """The upright axis leaning to the left or to the right, about the middle.

    The published images come from a library that kept the length of the axis on the way back to the
    image, so that what leans also becomes taller, by one over the cosine; so it is here. MNIST-C
    itself holds severity 2.

    Source: MNIST-C, see `corruption.py`.
    """
    angle = _ANGLES[severity - 1]
    back = images.new_zeros(len(images), 2, 2)
    back[:, 0, 0] = 1
    back[:, 0, 1] = draws.signs(images[:, 0, 0, 0]) * math.sin(angle)
    back[:, 1, 1] = math.cos(angle)
    return seen_through(images, back, torch.zeros_like(back[:, 0]))
