"""The inner problem of adversarial training: images moved to where a loss is high.

What `defences/adversarial`, `trades` and `mart` share: an eps that grows during the training, and a
few steps from a random start.
"""

from torch import nn

from unfooled.gradients import Loss, frozen, gradient, quickened
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat


def grown(eps: float, progress: float, warm_up: float, start: float = 0.0) -> float:
    """The eps of this moment: it grows evenly from 0 and reaches its value after the warm-up.

    Args:
        eps: the value that is reached.
        progress: the share of the training that is done.
        warm_up: the share of the training during which it grows; 0 for none.
        start: the share of the training before the warm-up begins.
    """
    if progress < start:
        return 0.0
    return eps * min(1.0, (progress - start) / warm_up) if warm_up else eps


def climbed(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    loss: Loss,
    *,
    draws: Draws,
    steps: int,
    step_size: float,
) -> Images:
    """Images after some steepest steps up a loss from a random start inside the threat.

    The model is asked in eval mode, so that the statistics of a batch normalisation are learned
    from the images that the network learns from alone.

    Args:
        loss: as `gradients.gradient` takes it; its rows are those of `images`.
        steps: gradient evaluations.
        step_size: as a share of eps.
    """
    current = threat.random_start(images, draws)
    with frozen(model):
        quick = quickened(model, images)
        for _ in range(steps):
            _, _, by_pixel = gradient(quick, current, labels, None, loss)
            step = step_size * threat.eps * threat.steepest(by_pixel)
            current = threat.project(images, current + step)
    return current
