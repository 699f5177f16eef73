"""Carlini and Wagner: distance and misreading weighed against each other, the weight searched."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from unfooled.errors import InvalidOption
from unfooled.losses import margin
from unfooled.nearest import Nearest
from unfooled.norms import NORMS as MEASURES
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, Mask, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "gradients"
NORMS = ("L2",)

_BETAS = (0.9, 0.999)  # Adam's
_INSIDE = 0.95  # share of the range in which tanh space starts: near its ends nothing moves
_FALLS = 0.99  # share of the learning rate that is gone at the end
_SETTLED = 0.4  # share of the steps before which Adam's first swings may hide that it improves
_CHECKS = 10  # times that a search step looks whether an image still improves
_BETTER = 0.9999  # share of its loss that an image must have got down to


def carlini_wagner(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,  # noqa: ARG001 - its norm can only be L2, and no eps is needed
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 200,
    searches: int = 9,
    learning_rate: float = 0.1,
    confidence: float = 0.0,
    constant: float = 1.0,
) -> Images:
    """The nearest misread image that Adam saw on its ways from the image, one for each constant.

    It lowers |change|^2 + constant * max(0, how far the label leads + confidence). The constant is
    halved between the bounds where the image was misread, and grows tenfold until it is. An image
    leaves a search step when its loss has stopped falling.

    Args:
        steps: gradient evaluations a search step, at least 1.
        searches: constants tried, at least 1.
        learning_rate: of Adam's first step, in tanh space; from there it falls to a hundredth. It
            is smaller where a step would be longer than the distance that is known already.
        confidence: by how much the logit of the wrong class has to lead; only images of which it
            does count, at least 0.
        constant: the first one.

    Raises:
        InvalidOption: an option is out of its range.

    Source: Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, sections 5 and 6.A.
    """
    if steps < 1 or searches < 1 or not (learning_rate > 0 and confidence >= 0 and constant > 0):
        raise InvalidOption(
            "carlini_wagner needs steps >= 1, searches >= 1, learning_rate > 0, confidence >= 0 "
            f"and constant > 0; it got steps={steps}, searches={searches}, "
            f"learning_rate={learning_rate}, confidence={confidence}, constant={constant}"
        )
    batch = Batch.of(model, images, labels, targets, draws)
    nearest = Nearest.none(images)
    constants = torch.full_like(nearest.distances, constant)
    low, high = torch.zeros_like(constants), torch.full_like(constants, torch.inf)
    for _ in range(searches):
        reached = _descend(batch, constants, nearest, steps, learning_rate, confidence)
        high = torch.where(reached, constants, high)
        low = torch.where(reached, low, constants)
        constants = torch.where(
            high.isinf() | (low == 0),
            constants * torch.where(reached, 0.1, 10),
            (low * high).sqrt(),
        )
    return nearest.images


def cost(*, steps: int, searches: int, **_: object) -> int:
    """One pass a step, for each constant."""
    return steps * searches


@dataclass(frozen=True)
class _Walk:
    """Adam's state for the rows that still walk.

    Attributes:
        place: in tanh space.
        mean, square: of the gradients.
        rates: the learning rate of each row.
        least: the smallest loss up to the last check.
        lately: whether it was misread since then.
    """

    place: Images
    mean: Images
    square: Images
    constants: PerImage
    rates: PerImage
    least: PerImage
    lately: Mask

    def keep(self, which: Mask) -> "_Walk":
        """The rows that a mask keeps."""
        return _Walk(*(getattr(self, field.name)[which] for field in fields(self)))

    def step(self, by_place: Images, number: int, share: float) -> None:
        """One step of Adam, in place; the first has number 1."""
        (early, late), squared = _BETAS, 1 - _BETAS[1] ** number
        self.mean.lerp_(by_place, 1 - early)
        self.square.mul_(late).addcmul_(by_place, by_place, value=1 - late)
        size = (self.square / squared).sqrt_().add_(1e-8)
        size.div_(_spread(self.rates * (share / (early**number - 1))))
        self.place.addcdiv_(self.mean, size)


def _descend(
    batch: Batch,
    constants: PerImage,
    nearest: Nearest,
    steps: int,
    learning_rate: float,
    confidence: float,
) -> Mask:
    """Which images Adam saw misread towards the end of its way; the nearest of all are noted.

    Its first steps are as long for the smallest constant as for the largest, and say nothing.
    """
    start = batch.images.mul(2).sub_(1).mul_(_INSIDE).atanh_()
    # Adam moves each pixel by about half of its rate at first.
    known = 2 * nearest.distances / math.sqrt(batch.images[0].numel())
    walk = _Walk(
        start,
        torch.zeros_like(start),
        torch.zeros_like(start),
        constants,
        known.clamp_max(learning_rate),
        torch.full_like(constants, torch.inf),
        torch.zeros_like(constants, dtype=torch.bool),
    )
    reached = torch.zeros_like(constants, dtype=torch.bool)
    left = batch
    # The very image first, in the place of the start, which lies a little inside the range.
    current, curve = left.images, 1 - walk.place.tanh().square()
    for number in range(1, steps + 1):
        logits, lead, by_pixel = left.gradient(current, margin)
        delta = current - left.images
        sizes = MEASURES["L2"].size(delta)
        done = _sure(left, logits, lead, confidence)
        walk.lately.logical_or_(done)
        nearest.note(left, current, sizes, done & left.clearly_misread(logits))
        short = (confidence - lead).clamp_min(0)
        weight = walk.constants * (short > 0)
        by_place = by_pixel.mul_(-_spread(weight)).add_(delta, alpha=2).mul_(curve).div_(2)
        falling = 1 - _FALLS * (number - 1) / steps
        walk.step(by_place, number, falling)
        if number % max(1, steps // _CHECKS) == 0 or number == steps:
            reached[left.places] = walk.lately
            walk.lately.zero_()
            losses = sizes.square() + walk.constants * short
            falls = losses < walk.least * _BETTER
            walk.least.copy_(torch.where(falls, losses, walk.least))
            stays = falls | (number < steps * _SETTLED)
            left, walk = left.keep(stays), walk.keep(stays)
            if not len(left):
                break
        bent = walk.place.tanh()
        current, curve = (bent + 1).div_(2), 1 - bent.square()
    return reached


def _sure(batch: Batch, logits: Logits, lead: PerImage, confidence: float) -> Mask:
    """Whether images are misread, and by as much as is wanted."""
    return batch.misread(logits) & ((lead >= confidence) | ~logits.isfinite().all(1))


def _spread(values: PerImage) -> Tensor:
    return values[:, None, None, None]
