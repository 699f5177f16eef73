"""The fast gradient sign method: one step of size eps along the gradient."""

from collections.abc import Sequence

import torch
from torch import nn

from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "gradients"
NORMS = ("Linf", "L2", "L1")


def fgsm(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> Images:
    """One step of size eps along the gradient of the cross-entropy.

    Linf: images + eps * sign(gradient); L2: eps along the gradient itself. Targeted, the step goes
    towards the target's cross-entropy falling.

    Raises:
        InvalidThreat: eps is infinite.

    Source: Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572, section 4.
    """
    return sweep(model, images, labels, [threat], draws=draws, targets=targets)[0]


def sweep(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threats: Sequence[Threat],
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> list[Images]:
    """`fgsm` for each threat, from one gradient."""
    batch = Batch.of(model, images, labels, targets, draws)
    _, _, by_pixel = batch.gradient(images, cross_entropy)
    step = threats[0].steepest(by_pixel)  # of size 1, and so the same for every eps
    results = []
    for threat in threats:
        threat.bounded()
        results.append(threat.project(images, torch.add(images, step, alpha=threat.eps)))
    return results
