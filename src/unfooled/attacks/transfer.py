"""Transfer: images crafted on other networks, tried out on this one."""

from collections.abc import Sequence

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.gradients import evened, frozen
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "decisions"
NORMS = ("Linf", "L2", "L1")


def transfer(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    surrogates: Sequence[nn.Module] = (),
    steps: int = 10,
    decay: float = 1.0,
) -> Images:
    """Images that fool other networks as far as they can be driven, whether or not they fool this.

    On each surrogate, steepest steps along a gradient with momentum; unlike other attacks it does
    not stop when the surrogate is fooled, since what barely fools one network seldom fools another.
    The model itself is asked once for each surrogate: that is one query each, and only for images
    that no surrogate before has brought down.

    Args:
        surrogates: the networks to craft on, all of which the attacker knows. A study gives the
            networks of its other recipes with the same seed.
        steps: gradient evaluations on each surrogate, at least 1.
        decay: share of the momentum that a step keeps, 0 to 1.

    Raises:
        InvalidOption: there is no surrogate, or steps or decay is out of its range.
        InvalidThreat: eps is infinite.

    Source: Papernot et al. 2016, https://arxiv.org/abs/1605.07277; the momentum is that of Dong et
    al. 2018, https://arxiv.org/abs/1710.06081, algorithm 1.
    """
    if not surrogates:
        raise InvalidOption(
            "transfer needs at least one surrogate, a network to craft on: --surrogate FILE, "
            "surrogates=[network], or a study with more than one recipe"
        )
    if steps < 1 or not 0 <= decay <= 1:
        raise InvalidOption(
            f"transfer needs steps >= 1 and 0 <= decay <= 1; it got steps={steps}, decay={decay}"
        )
    threat.bounded()
    result = images.clone()
    left = Batch.of(model, images, labels, targets, draws)
    for surrogate in surrogates:
        with frozen(surrogate):
            kind = next((p.dtype for p in surrogate.parameters()), images.dtype)
            own = Batch.of(surrogate, left.images.to(kind), left.labels, left.targets, left.draws)
            crafted = threat.project(
                left.images, _driven(own, threat, steps, decay).to(images.dtype)
            )
        result[left.places] = crafted
        left = left.keep(~left.fooled(crafted))
        if not len(left):
            break
    return result


def _driven(batch: Batch, threat: Threat, steps: int, decay: float) -> Images:
    current, momentum = batch.images, torch.zeros_like(batch.images)
    for _ in range(steps):
        _, _, by_pixel = batch.gradient(current, cross_entropy)
        momentum = decay * momentum + evened(by_pixel)
        current = current + threat.eps / steps * threat.steepest(momentum)
        current = threat.project(batch.images, current)
    return current
