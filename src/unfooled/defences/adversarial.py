"""Adversarial training: each batch is attacked before the network learns from it."""

from torch import nn

from unfooled.gradients import frozen, gradient, quickened
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
    steps: int = 3,
    step_size: float = 0.5,
    warm_up: float = 0.33,
) -> PerImage:
    """Cross-entropy of images moved by a few steepest steps from a random start.

    Args:
        eps: in pixel units, reached after the warm-up.
        norm: "Linf" or "L2".
        steps: gradient evaluations a batch. 1 is the single-step training of Wong et al., which is
            quick and can end in catastrophic overfitting; training watches for it.
        step_size: as a share of eps.
        warm_up: share of the training during which eps grows from 0.

    Source: Madry et al. 2018, https://arxiv.org/abs/1706.06083, section 2.1; random start and few
    steps: Wong et al. 2020, https://arxiv.org/abs/2001.03994, section 4.
    """
    now = eps * min(1.0, progress / warm_up) if warm_up else eps
    threat = Threat(norm, now)
    current = threat.random_start(images, draws)
    with frozen(model):
        quick = quickened(model, images)
        for _ in range(steps):
            _, _, by_pixel = gradient(quick, current, labels, None, cross_entropy)
            step = step_size * now * threat.steepest(by_pixel)
            current = threat.project(images, current + step)
    return cross_entropy(model(current), labels)
