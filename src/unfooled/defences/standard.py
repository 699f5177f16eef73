"""No defence: the cross-entropy."""

from torch import nn

from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage


def standard(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,  # noqa: ARG001 - the same signature as every defence
    progress: float,  # noqa: ARG001
) -> PerImage:
    """-log of the probability that the network gives to the true class."""
    return cross_entropy(model(images), labels)
