"""The momentum iterative fast gradient sign method: steps along a decaying sum of gradients."""

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "gradients"
NORMS = ("Linf", "L2")
TITLE = "MI-FGSM"


def mifgsm(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 40,
    step_size: float | None = None,
    decay: float = 1.0,
) -> Images:
    """Equal steps along a running sum of gradients, from the image itself, without chance.

    Each gradient is divided by the sum of its absolute values before it is added, so that all
    count alike. An image leaves as soon as it is fooled; one that is never fooled comes back as the
    last step left it. The images it makes carry over to other models better than those of `pgd`.

    Args:
        steps: gradient evaluations, at least 1.
        step_size: in pixel units; None takes 2.5 * eps / steps, as `pgd` does; the paper's is
            eps / steps, which fools fewer images.
        decay: what the sum is multiplied by before a gradient is added, 0 or more; 0 forgets.

    Raises:
        InvalidOption: steps or step_size is not positive, or decay is negative or infinite.
        InvalidThreat: eps is infinite, so there is no ball to stay in.

    Source: Dong et al. 2018, https://arxiv.org/abs/1710.06081, section 3.1, algorithm 1, and
    section 3.3 for L2 and for targets.
    """
    if steps < 1 or not 0 <= decay < float("inf") or (step_size is not None and not step_size > 0):
        raise InvalidOption(
            "mifgsm needs steps >= 1, step_size > 0 and a finite decay >= 0; "
            f"it got steps={steps}, step_size={step_size}, decay={decay}"
        )
    threat.bounded()
    size = 2.5 * threat.eps / steps if step_size is None else step_size
    result = images.clone()
    left = Batch.of(model, images, labels, targets, draws)
    current, total = images, torch.zeros_like(images)
    for _ in range(steps):
        logits, _, gradient = left.gradient(current, cross_entropy)
        done = left.misread(logits)
        if done.any():
            result[left.places[done]] = current[done]
            rows = (~done).nonzero()[:, 0]
            left, current = left.keep(rows), current[rows]
            total, gradient = total[rows], gradient[rows]
            if not len(left):
                return result
        # Divided by the largest entry first: the sum of vanishing gradients could underflow.
        magnitudes = gradient.abs().flatten(1)
        largest = magnitudes.amax(1).clamp_min_(1e-38)
        lengths = magnitudes.mul_((1 / largest)[:, None]).sum(1).clamp_min_(1).mul_(largest)
        total.mul_(decay).add_(gradient.div_(lengths[:, None, None, None]))
        current = threat.project(left.images, current + size * threat.steepest(total))
    result[left.places] = current
    return result
