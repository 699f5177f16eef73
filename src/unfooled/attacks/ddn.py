"""Decoupled direction and norm: steps on a sphere that shrinks when it fools and grows when not."""

import math

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.losses import log_odds
from unfooled.nearest import Nearest
from unfooled.norms import NORMS as MEASURES
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "gradients"
NORMS = ("L2",)

_LAST_STEP = 0.01  # share of the radius that the last steps go


def ddn(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 100,
    radius: float = 2.0,
    gamma: float = 0.3,
    final_gamma: float = 0.003,
    step_size: float = 1.0,
) -> Images:
    """The nearest misread image on a walk over spheres around the image.

    The radius shrinks by gamma where the image is misread, and grows by it where it is not. The
    paper holds gamma at 0.05. Here it falls from 0.3, which finds the scale of the distance in a
    few steps from any start, to 0.003, which settles on the boundary; and the paper's
    cross-entropy is replaced by the log-odds, which has the same direction without underflow.

    Args:
        steps: gradient evaluations, at least 1.
        radius: of the first sphere, in pixel units.
        gamma: share by which the radius changes at first, in (0, 1).
        final_gamma: the same at the end, in (0, gamma].
        step_size: of the first step along the gradient, in pixel units.

    Raises:
        InvalidOption: an option is out of its range.

    Source: Rony et al. 2019, https://arxiv.org/abs/1811.09600, section 4 and algorithm 1.
    """
    if steps < 1 or not (radius > 0 and 0 < final_gamma <= gamma < 1 and step_size > 0):
        raise InvalidOption(
            "ddn needs steps >= 1, radius > 0, 0 < final_gamma <= gamma < 1 and step_size > 0; it "
            f"got steps={steps}, radius={radius}, gamma={gamma}, final_gamma={final_gamma}, "
            f"step_size={step_size}"
        )
    size, steepest = MEASURES[threat.norm].size, MEASURES[threat.norm].steepest
    batch = Batch.of(model, images, labels, targets, draws)
    nearest = Nearest.none(images)
    farthest = size(torch.maximum(images, 1 - images))
    radii = farthest.clamp_max(radius)
    current, delta = images.clone(), torch.zeros_like(images)
    for step in range(steps):
        logits, _, by_pixel = batch.gradient(current, log_odds)
        misread = batch.misread(logits)
        nearest.note(batch, current, size(delta), batch.clearly_misread(logits))
        share = (1 + math.cos(math.pi * step / steps)) / 2
        reach = step_size * share + _LAST_STEP * radii
        delta.addcmul_(steepest(by_pixel), _spread(reach))
        change = final_gamma + (gamma - final_gamma) * share
        radii = torch.minimum(radii * torch.where(misread, 1 - change, 1 + change), farthest)
        delta.mul_(_spread(radii / size(delta).clamp_min(1e-30)))
        torch.add(images, delta, out=current).clamp_(0, 1)
        torch.sub(current, images, out=delta)
    return nearest.images


def _spread(values: PerImage) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)
