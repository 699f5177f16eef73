"""Projected gradient descent: many small steps, each projected back into the threat."""

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from unfooled.errors import InvalidOption
from unfooled.gradients import gradient, predict
from unfooled.losses import cross_entropy, fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

PROMISE = "bounded"
KNOWS = "gradients"


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
    result = images.clone()
    left = torch.arange(len(images), device=images.device)
    for restart in range(restarts):
        current = threat.random_start(images, draws.step(restart))[left]
        for _ in range(steps):
            logits, _, by_pixel = gradient(
                model, current, labels[left], _of(targets, left), cross_entropy
            )
            result[left] = current
            stands = ~fooled(logits, labels[left], _of(targets, left))
            left, current, by_pixel = left[stands], current[stands], by_pixel[stands]
            if not len(left):
                return result
            current = threat.project(images[left], current + size * threat.steepest(by_pixel))
        result[left] = current
        if restart + 1 < restarts:
            left = left[~fooled(predict(model, current), labels[left], _of(targets, left))]
        if not len(left):
            break
    return result


def _of(targets: Labels | None, left: Int64[Tensor, " m"]) -> Int64[Tensor, " m"] | None:
    return None if targets is None else targets[left]
