"""Stripe: black is white at both sides, so that a stripe seems to stand in the middle."""

from unfooled.corruption import unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

_COLUMNS = (3, 5, 7, 9, 11)  # on each side


def stripe(
    images: Images,
    *,
    severity: int,
    draws: Draws,  # noqa: ARG001 - the same signature as every corruption
) -> Images:
    """The columns on both sides inverted; without chance.

    Severity 3 inverts a quarter on each side, which is the only published one; the others are ours.

    Source: MNIST-C, see `corruption.py`.
    """
    columns = round(_COLUMNS[severity - 1] * unit(images))
    striped = images.clone()
    for side in (striped[..., :columns], striped[..., images.shape[3] - columns :]):
        side.mul_(-1).add_(1)
    return striped
