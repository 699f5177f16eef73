"""Random noise of the same size: the baseline that every attack must beat."""

from torch import nn

from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

PROMISE = "bounded"
KNOWS = "nothing"
NORMS = ("Linf", "L2", "L1")


def noise(
    model: nn.Module,  # noqa: ARG001 - the same signature as every attack
    images: Images,
    labels: Labels,  # noqa: ARG001
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,  # noqa: ARG001
) -> Images:
    """One random change of size eps: for Linf a random sign at every pixel, for L2 a direction.

    It knows nothing of the model. What survives an attack but not this noise was never attacked.

    Raises:
        InvalidThreat: eps is infinite.

    Source: the sanity check of Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 4.
    """
    return threat.random_edge(images, draws)
