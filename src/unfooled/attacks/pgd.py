"""Projected gradient descent: many small steps, each projected back into the threat."""

from torch import nn

from unfooled.errors import InvalidOption
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "gradients"
NORMS = ("Linf", "L2", "L1")


def pgd(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
) -> Images:
    """Steepest steps from a random start, each projected back into the threat.

    An image leaves as soon as it is fooled. One that is never fooled comes back as the last restart
    left it.

    Args:
        steps: gradient evaluations a restart, at least 1.
        step_size: in pixel units; None takes 2.5 * eps / steps.
        restarts: random starts, at least 1; only images that still stand start again.

    Raises:
        InvalidOption: steps, step_size or restarts is not positive.
        InvalidThreat: eps is infinite, so there is no ball to start in.

    Source: Madry et al. 2018, https://arxiv.org/abs/1706.06083, section 2.1; the default step size
    is section 5's choice of 2.5 * eps / steps.
    """
    if steps < 1 or restarts < 1 or (step_size is not None and not step_size > 0):
        raise InvalidOption(
            f"pgd needs steps >= 1, restarts >= 1 and step_size > 0; "
            f"it got steps={steps}, restarts={restarts}, step_size={step_size}"
        )
    size = 2.5 * threat.eps / steps if step_size is None else step_size
    batch = Batch.of(model, images, labels, targets, draws)
    result = images.clone()
    left = batch
    for restart in range(restarts):
        current = threat.random_start(left.images, left.draws.step(restart))
        for _ in range(steps):
            logits, _, by_pixel = left.gradient(current, cross_entropy)
            misread = left.misread(logits)
            if misread.any():
                result[left.places[misread]] = current[misread]
                left, current, by_pixel = left.keep(~misread), current[~misread], by_pixel[~misread]
                if not len(left):
                    return result
            step = threat.steepest(by_pixel).mul_(size)
            current = threat.project(left.images, step.add_(current))
        result[left.places] = current
        if restart + 1 < restarts:
            left = left.keep(~left.fooled(current))
        if not len(left):
            break
    return result
