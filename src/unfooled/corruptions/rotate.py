"""Rotation about the middle."""

import math

import torch

from unfooled.affine import seen_through
from unfooled.randomness import Draws
from unfooled.shapes import Images

_ANGLES = (0.2, 0.4, 0.6, 0.8, 1.0)  # radians


def rotate(images: Images, *, severity: int, draws: Draws) -> Images:
    """The images turned by one angle, clockwise or anticlockwise.

    MNIST-C itself holds severity 2.

    Source: MNIST-C, see `corruption.py`.
    """
    angle = _ANGLES[severity - 1]
    sine = draws.signs(images[:, 0, 0, 0]) * math.sin(angle)
    cosine = torch.full_like(sine, math.cos(angle))
    back = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    return seen_through(images, back, torch.zeros_like(back[:, 0]))
