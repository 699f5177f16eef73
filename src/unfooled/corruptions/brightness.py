"""Brightness: too much light."""

import torch

from unfooled.randomness import Draws
from unfooled.shapes import Images

_MORE = (0.1, 0.2, 0.3, 0.4, 0.5)


def brightness(
    images: Images,
    *,
    severity: int,
    draws: Draws,  # noqa: ARG001 - the same signature as every corruption
) -> Images:
    """The brightest channel of each pixel raised by a constant, up to 1, in the same colour.

    Grey pixels are raised, and black ones become grey; without chance. MNIST-C itself holds
    severity 5.

    Source: MNIST-C, see `corruption.py`.
    """
    value = images.amax(1, keepdim=True)
    colour = torch.where(value > 0, images / value, 1.0)
    return colour * (value + _MORE[severity - 1]).clamp_(max=1)
