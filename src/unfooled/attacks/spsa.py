"""SPSA: Adam on a gradient that is estimated from logits, by steps in random directions."""

from collections.abc import Iterator

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.losses import margin
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch, Rows

PROMISE = "bounded"
KNOWS = "scores"
NORMS = ("Linf", "L2")

_FIRST, _SECOND = 0.9, 0.999  # Adam's decay of the mean and of the mean square
_AT_ONCE = 4000  # attempts that are made up before they are asked about


def spsa(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 100,
    samples: int = 32,
    step_size: float | None = None,
    delta: float = 0.01,
) -> Images:
    """Where Adam leads by estimated gradients of the margin, each step projected into the threat.

    A step asks about `samples` attempts, two for each random direction of signs: `delta` along it
    and `delta` against it. Then it asks about the image that the step made; one that is fooled
    leaves.

    Args:
        steps: estimated gradients, at least 1.
        samples: attempts for an estimate, an even number of at least 2.
        step_size: the most that a step changes a pixel, about; None takes a quarter of eps for
            Linf, and for L2 a quarter of what each pixel has when all have the same.
        delta: in pixel units, in (0, 0.5].

    Raises:
        InvalidOption: an option is out of its range.
        InvalidThreat: eps is infinite, so there is no ball to stay in.

    Source: Uesato et al. 2018, https://arxiv.org/abs/1802.05666, section 4 and algorithm 1, with
    Adam as in its appendix; the margin is its section 5's loss.
    """
    _check(steps, samples, step_size, delta)
    threat.bounded()
    size = _quarter(threat, images) if step_size is None else step_size
    batch = Batch.of(model, images, labels, targets, draws)
    result = images.clone()
    current, mean, square = images, torch.zeros_like(images), torch.zeros_like(images)
    for step in range(steps):
        slope = _estimate(batch, current, samples // 2, delta, batch.draws.step(step))
        mean = mean.lerp_(slope, 1 - _FIRST)
        square = square.lerp_(slope.square_(), 1 - _SECOND)
        # Both start from zero, and so are too small at first; a slope of zero moves nothing.
        spread = (square / (1 - _SECOND ** (step + 1))).sqrt_().clamp_min_(1e-30)
        change = (mean / (1 - _FIRST ** (step + 1))).div_(spread)
        current = threat.project(batch.images, change.mul_(size).add_(current))
        result[batch.places] = current
        stands = ~batch.fooled(current)
        if not stands.all():
            batch, current, mean, square = (
                batch.keep(stands),
                current[stands],
                mean[stands],
                square[stands],
            )
            if not len(batch):
                break
    return result


def cost(*, steps: int, samples: int, **_: object) -> int:
    """Forward passes for an image that is never fooled, exactly."""
    return steps * (samples + 1)


def _check(steps: int, samples: int, step_size: float | None, delta: float) -> None:
    sized = step_size is None or step_size > 0
    if steps < 1 or samples < 2 or samples % 2 or not sized or not 0 < delta <= 0.5:
        raise InvalidOption(
            "spsa needs steps >= 1, an even number of samples >= 2, step_size > 0 and "
            f"delta in (0, 0.5]; it got steps={steps}, samples={samples}, step_size={step_size}, "
            f"delta={delta}"
        )


def _quarter(threat: Threat, images: Images) -> float:
    pixels = 1 if threat.norm == "Linf" else images[0].numel()
    return threat.eps / 4 / float(pixels**0.5)


def _estimate(batch: Batch, current: Images, pairs: int, delta: float, draws: Draws) -> Images:
    """The mean over random directions of how fast the margin grows along them."""
    slopes = torch.empty_like(current)
    for rows in _portions(batch, max(1, _AT_ONCE // (2 * pairs))):
        like = current.new_empty((len(rows), pairs, *current.shape[1:]))
        directions = draws.keep(rows).signs(like)
        # Both attempts of a pair lie in the box, and as far apart as they say.
        centre = current[rows].clamp_(delta, 1 - delta)[:, None]
        attempts = torch.cat([centre + delta * directions, centre - delta * directions], dim=1)
        asked = rows.repeat_interleave(2 * pairs)
        logits = batch.logits(attempts.flatten(0, 1), asked)
        aims = None if batch.targets is None else batch.targets[asked]
        losses = margin(logits, batch.labels[asked], aims).view(len(rows), 2, pairs)
        rises = (losses[:, 0] - losses[:, 1]).nan_to_num(0, 0, 0) / (2 * delta * pairs)
        slopes[rows] = torch.bmm(rises[:, None], directions.flatten(2)).view_as(current[rows])
    return slopes


def _portions(batch: Batch, size: int) -> Iterator[Rows]:
    """The rows of the batch, so many at a time that their attempts stay in the cache."""
    yield from torch.arange(len(batch), device=batch.images.device).split(size)
