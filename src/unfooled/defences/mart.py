"""MART: adversarial training that looks hardest at the images that are misread anyway."""

import torch
from torch import nn

from unfooled.inner import climbed, grown
from unfooled.losses import cross_entropy, divergence
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat


def mart(
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
    beta: float = 5.0,
) -> PerImage:
    """A boosted cross-entropy of attacked images, and their distance from the images'.

    Boosted: it also pushes down the most likely wrong class. The distance counts for the more, the
    less the network is sure of the image as it is.

    Args:
        eps: in pixel units, reached after the warm-up.
        norm: "Linf" or "L2".
        steps: gradient evaluations a batch.
        step_size: as a share of eps.
        warm_up: share of the training during which eps grows from 0.
        beta: weight of the distance, lambda in the paper.

    Source: Wang et al. 2020, https://openreview.net/forum?id=rklOg6EFwS, equation 11.
    """
    threat = Threat(norm, grown(eps, progress, warm_up))
    attacked = climbed(
        model, images, labels, threat, cross_entropy, draws=draws, steps=steps, step_size=step_size
    )
    logits, clean = model(attacked), model(images)
    mistaken = logits.softmax(1).scatter(1, labels[:, None], 0.0).amax(1)
    boosted = cross_entropy(logits, labels) - torch.log1p(-mistaken.clamp_max(1 - 1e-6))
    unsure = 1 - clean.softmax(1).gather(1, labels[:, None]).squeeze(1)
    found: PerImage = boosted + beta * unsure * divergence(logits, clean.log_softmax(1))
    return found
