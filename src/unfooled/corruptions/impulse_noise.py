"""Impulse noise: salt and pepper."""

import torch

from unfooled.randomness import Draws
from unfooled.shapes import Images

_SHARES = (0.03, 0.06, 0.09, 0.17, 0.27)


def impulse_noise(images: Images, *, severity: int, draws: Draws) -> Images:
    """A share of the pixels white or black, half of them each.

    MNIST-C itself holds severity 4.

    Source: MNIST-C, see `corruption.py`.
    """
    half = _SHARES[severity - 1] / 2
    chance = draws.uniform(images)
    salted = torch.where(chance > 1 - half, 1.0, images)
    return torch.where(chance < half, 0.0, salted)
