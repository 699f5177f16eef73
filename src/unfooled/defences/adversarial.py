"""Adversarial training: each batch is attacked before the network learns from it."""

from torch import nn

from unfooled import attack as attacks
from unfooled.inner import climbed, grown
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat


def adversarial(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,
    progress: float,
    eps: float = 0.3,
    norm: str = "Linf",
    steps: int = 1,
    step_size: float = 1.0,
    warm_up: float = 0.33,
    attack: str = "",
) -> PerImage:
    """Cross-entropy of images that were moved to mislead the network.

    Args:
        eps: in pixel units, reached after the warm-up.
        norm: "Linf" or "L2"; with `attack`, any that it takes.
        steps: steepest steps from a random start, for each batch. 1 is the single-step training of
            Wong et al., which is quick and can end in catastrophic overfitting; training watches
            for it and goes on with twice the steps. More are the training of Madry et al.
        step_size: as a share of eps.
        warm_up: share of the training during which eps grows from 0.
        attack: a name in `attacks/` to use instead of such steps, with its defaults; an attack that
            stops at the first success teaches less than one that goes on.

    Source: Madry et al. 2018, https://arxiv.org/abs/1706.06083, section 2.1; random start and one
    step: Wong et al. 2020, https://arxiv.org/abs/2001.03994, section 4.
    """
    threat = Threat(norm, grown(eps, progress, warm_up))
    if attack:
        moved = attacks.find(attack).run(model, images, labels, threat, draws=draws)
    else:
        moved = climbed(
            model,
            images,
            labels,
            threat,
            cross_entropy,
            draws=draws,
            steps=steps,
            step_size=step_size,
        )
    return cross_entropy(model(moved), labels)
