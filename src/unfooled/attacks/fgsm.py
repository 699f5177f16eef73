"""The fast gradient sign method: one step of size eps along the gradient."""

from collections.abc import Sequence

from torch import nn

from unfooled.gradients import gradient
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

PROMISE = "bounded"
KNOWS = "gradients"


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
    draws: Draws,  # noqa: ARG001 - every attack is given draws; this one leaves nothing to chance
    targets: Labels | None = None,
) -> list[Images]:
    """`fgsm` for each threat, from one gradient."""
    _, _, by_pixel = gradient(model, images, labels, targets, cross_entropy)
    results = []
    for threat in threats:
        threat.bounded()
        results.append(threat.project(images, images + threat.eps * threat.steepest(by_pixel)))
    return results
