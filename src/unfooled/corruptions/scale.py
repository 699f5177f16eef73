"""Scale: smaller, in the middle of a black frame."""

import torch

from unfooled.affine import seen_through
from unfooled.randomness import Draws
from unfooled.shapes import Images

_SIZES = (0.9, 0.8, 0.7, 0.6, 0.5)  # of what it was


def scale(
    images: Images,
    *,
    severity: int,
    draws: Draws,  # noqa: ARG001 - the same signature as every corruption
) -> Images:
    """The images made smaller; without chance.

    MNIST-C itself holds severity 3.

    Source: MNIST-C, see `corruption.py`.
    """
    back = torch.eye(2, dtype=images.dtype, device=images.device) / _SIZES[severity - 1]
    return seen_through(images, back.expand(len(images), -1, -1), images.new_zeros(len(images), 2))
