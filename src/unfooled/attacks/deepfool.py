"""DeepFool: steps onto the nearest linearised boundary until the image is misread."""

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.losses import margin
from unfooled.nearest import Nearest
from unfooled.norms import NORMS as MEASURES
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "gradients"
NORMS = ("L2", "Linf")

_DUALS = {"L2": 2, "Linf": 1}
_LEAST = 1e-4  # added to every step, in pixel units: steps alone that shorten may never arrive


def deepfool(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int = 10,
) -> Images:
    """The first misread image on a walk over linearised boundaries.

    An image leaves as soon as it is fooled. With targets each step goes towards the boundary
    between the target and the class that leads.

    Args:
        steps: places at which gradients are taken, at least 1; what the last step reaches is not
            looked at.
        overshoot: share by which a step goes beyond the boundary, at least 0.
        candidates: classes, those of the largest logits, whose boundaries are considered; at
            least 2, the label's own among them. With targets it plays no part.

    Raises:
        InvalidOption: an option is out of its range.

    Source: Moosavi-Dezfooli et al. 2016, https://arxiv.org/abs/1511.04599, section 3, algorithm 2
    and equations 10 and 11.
    """
    if steps < 1 or candidates < 2 or not overshoot >= 0:
        raise InvalidOption(
            "deepfool needs steps >= 1, overshoot >= 0 and candidates >= 2; it got "
            f"steps={steps}, overshoot={overshoot}, candidates={candidates}"
        )
    dual, measure = _DUALS[threat.norm], MEASURES[threat.norm]
    left = Batch.of(model, images, labels, targets, draws)
    nearest = Nearest.none(images)
    current = images
    for _ in range(steps):
        logits, values, by_pixel = (
            _nearest_boundary(left, current, dual, candidates)
            if targets is None
            else left.gradient(current, margin)
        )
        misread = left.clearly_misread(logits)
        if misread.any():
            nearest.note(left, current, measure.size(current - left.images), misread)
            left, current = left.keep(~misread), current[~misread]
            values, by_pixel = values[~misread], by_pixel[~misread]
            if not len(left):
                break
        way = (values.abs() / _slopes(by_pixel[:, None], dual)[:, 0] + _LEAST) * (1 + overshoot)
        step = measure.steepest(by_pixel).mul_(way[:, None, None, None])
        current = step.add_(current).clamp_(0, 1)
    return nearest.images


def _nearest_boundary(
    batch: Batch, current: Images, dual: int, candidates: int
) -> tuple[Logits, PerImage, Images]:
    """Logits; how far the class of the nearest boundary leads the label, and its gradient."""
    logits, jacobian = batch.jacobian(current)
    every = torch.arange(len(batch), device=logits.device)
    leads = logits - logits[every, batch.labels][:, None]
    slopes = jacobian - jacobian[every, batch.labels][:, None]
    far = leads.abs() / _slopes(slopes, dual)
    least = logits.topk(min(candidates, logits.shape[1]), dim=1).values[:, -1:]
    far.masked_fill_(logits < least, torch.inf).scatter_(1, batch.labels[:, None], torch.inf)
    nearest = far.argmin(1)
    return logits, leads[every, nearest], slopes[every, nearest]


def _slopes(by_pixel: torch.Tensor, dual: int) -> torch.Tensor:
    """How much a change of size 1 gains at most."""
    slopes: torch.Tensor = torch.linalg.vector_norm(by_pixel.flatten(2), ord=dual, dim=2)
    return slopes.clamp_min(1e-30)
