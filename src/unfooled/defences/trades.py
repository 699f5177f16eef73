"""TRADES: read the image correctly, and its surroundings like the image."""

from torch import nn

from unfooled.gradients import predict
from unfooled.inner import climbed, grown
from unfooled.losses import cross_entropy, divergence
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage
from unfooled.threat import Threat


def trades(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,
    progress: float,
    eps: float = 0.3,
    norm: str = "Linf",
    steps: int = 5,
    step_size: float = 0.4,
    warm_up: float = 0.33,
    beta: float = 1.0,
) -> PerImage:
    """Cross-entropy of the images, and how far the worst neighbour's reading is from theirs.

    The distance is the Kullback-Leibler divergence, and the neighbour is sought by climbing it from
    a random start (the paper starts from small Gaussian noise).

    Args:
        eps: in pixel units, reached after the warm-up.
        norm: "Linf" or "L2".
        steps: gradient evaluations a batch.
        step_size: as a share of eps.
        warm_up: share of the training during which eps grows from 0.
        beta: weight of the distance, 1/lambda in the paper, which takes 1 for MNIST. A larger one
            trades clean accuracy for robustness.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1901.08573, equation 5 and algorithm 1.
    """
    threat = Threat(norm, grown(eps, progress, warm_up))
    wanted = predict(model, images).log_softmax(1)

    def distance(logits: Logits, _: Labels, __: Labels | None) -> PerImage:
        return divergence(logits, wanted)

    neighbours = climbed(
        model, images, labels, threat, distance, draws=draws, steps=steps, step_size=step_size
    )
    logits = model(images)
    moved = divergence(model(neighbours), logits.log_softmax(1))
    return cross_entropy(logits, labels) + beta * moved
