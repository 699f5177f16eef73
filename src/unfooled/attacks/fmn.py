"""Fast minimum-norm: steps inside a ball whose radius follows the distance of the boundary."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unfooled.errors import InvalidOption
from unfooled.losses import log_odds
from unfooled.nearest import Nearest
from unfooled.norms import NORMS as MEASURES
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Mask, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "gradients"
NORMS = ("Linf", "L2", "L1", "L0")

_LAST_STEP = 0.01  # share of the first step, or of the radius, that the last steps go
# The linear estimate of the boundary falls short where the loss bends; without a little more the
# radius would come ever closer to the boundary and never cross it.
_BEYOND = 1.1
_WHOLE = 1.0  # added to an L0 step: a pixel's whole range
_FEW = 32  # pixels up to which images are ranked together for L0
_ROUNDS = 30  # of Newton's method for L1; 4 to 8 are usual
_REST = 1e-5  # share of the radius that it may leave


def fmn(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 100,
    gamma: float = 0.3,
    final_gamma: float = 0.003,
    step_size: float | None = None,
) -> Images:
    """The nearest misread image on a walk that starts at the image itself.

    Until an image is misread its radius is the linear estimate of the boundary's distance, and
    grows by gamma at least; from then on it shrinks by gamma where the image is misread and grows
    where it is not. Other than in the paper, gamma falls from 0.3 instead of 0.05; a change that
    does not fool is stretched to the radius; and Linf steps go along the gradient's sign.

    Args:
        steps: gradient evaluations, at least 1.
        gamma: share by which the radius changes at first, in (0, 1).
        final_gamma: the same at the end, in (0, gamma].
        step_size: of the first step: in pixel units for L1 and L2 (None: 1) and L0 (None: 30), in
            radii for Linf (None: 1).

    Raises:
        InvalidOption: an option is out of its range.

    Source: Pintor et al. 2021, https://arxiv.org/abs/2102.12827, section 2 and algorithm 1.
    """
    way = _WAYS[threat.norm]
    first = way.step_size if step_size is None else step_size
    if steps < 1 or not (0 < final_gamma <= gamma < 1 and first > 0):
        raise InvalidOption(
            "fmn needs steps >= 1, 0 < final_gamma <= gamma < 1 and step_size > 0; it got "
            f"steps={steps}, gamma={gamma}, final_gamma={final_gamma}, step_size={step_size}"
        )
    size = MEASURES[threat.norm].size
    batch = Batch.of(model, images, labels, targets, draws)
    nearest = Nearest.none(images)
    farthest = size(torch.maximum(images, 1 - images))
    radii = torch.zeros_like(farthest)
    current, delta = images.clone(), torch.zeros_like(images)
    for step in range(steps):
        logits, odds, by_pixel = batch.gradient(current, log_odds)
        misread = batch.misread(logits)
        distances = size(delta)
        nearest.note(batch, current, distances, batch.clearly_misread(logits))
        share = (1 + math.cos(math.pi * step / steps)) / 2
        change = final_gamma + (gamma - final_gamma) * share
        slope = torch.linalg.vector_norm(by_pixel, ord=way.dual, dim=(1, 2, 3))
        rest = _BEYOND * odds.abs() / slope.clamp_min(1e-30)
        unseen = torch.where(nearest.distances.isinf(), distances + rest, 0)
        radii = way.radii(radii, misread, nearest.distances, change, unseen)
        radii = torch.minimum(radii, farthest)
        way.step(delta, by_pixel, first * share, radii, misread, current)
        torch.add(images, delta, out=current).clamp_(0, 1)
        torch.sub(current, images, out=delta)
    return nearest.images


def _followed(
    radii: PerImage, misread: Mask, known: PerImage, change: float, unseen: PerImage
) -> PerImage:
    smaller = torch.minimum(radii * (1 - change), known)
    return torch.where(misread, smaller, torch.maximum(radii * (1 + change), unseen))


def _counted(
    radii: PerImage, misread: Mask, known: PerImage, change: float, *_: PerImage
) -> PerImage:
    """A gradient says little about how many pixels it takes: one more or less at least."""
    smaller = torch.minimum(torch.minimum(radii, known) - 1, (radii * (1 - change)).floor())
    larger = torch.maximum(radii + 1, (radii * (1 + change)).floor())
    return torch.where(misread, smaller, larger).clamp_min(1)


def _l2(
    delta: Images, by_pixel: Images, reach: float, radii: PerImage, misread: Mask, *_: Images
) -> None:
    delta.addcmul_(_steepest(by_pixel), _spread(reach + _LAST_STEP * radii))
    _scale(delta, radii / MEASURES["L2"].size(delta).clamp_min(1e-30), misread)


def _linf(
    delta: Images, by_pixel: Images, reach: float, radii: PerImage, *_: Mask | Images
) -> None:
    border = _spread(radii)
    delta.addcmul_(by_pixel.sign(), (reach + _LAST_STEP) * border)
    torch.clamp(delta, -border, border, out=delta)


def _l1(
    delta: Images, by_pixel: Images, reach: float, radii: PerImage, misread: Mask, *_: Images
) -> None:
    delta.addcmul_(_steepest(by_pixel), _spread(reach + _LAST_STEP * radii))
    size = MEASURES["L1"].size(delta)
    # Stretched before what is too long is cut: the other way round it would only be scaled.
    delta.mul_(_spread(torch.where(misread, 1, (radii / size.clamp_min(1e-30)).clamp_min(1))))
    sizes = delta.abs().flatten(1)
    sizes.sub_(_cuts(sizes, radii)[:, None]).clamp_min_(0)
    torch.copysign(sizes.view_as(delta), delta, out=delta)


def _l0(
    delta: Images,
    by_pixel: Images,
    reach: float,
    radii: PerImage,
    misread: Mask,  # noqa: ARG001 - as all steps
    current: Images,
) -> None:
    # A pixel at the end of its range that has not been changed would take a place among the few
    # that count, and change nothing. One that has been changed earns its place anew.
    rises = torch.gt(by_pixel, 0, out=torch.empty_like(by_pixel))
    free = rises.sub_(current).abs_().add_(delta.abs()).sign_()
    delta.add_(_steepest(free.mul_(by_pixel)), alpha=reach + _WHOLE)
    sizes = delta.abs().flatten(1)
    least = _ranked(sizes, radii.long())
    delta.mul_(torch.ge(sizes, least[:, None], out=sizes).view_as(delta))


def _ranked(sizes: Float[Tensor, "n d"], places: Labels) -> PerImage:
    """The size at a place in each row's order, the largest being at place 1."""
    found = sizes.new_empty(len(sizes))
    # Most images change few pixels, and need not be ranked as far as those that change many.
    for rows in ((places <= _FEW).nonzero()[:, 0], (places > _FEW).nonzero()[:, 0]):
        if len(rows):
            wanted = places[rows, None]
            largest = sizes[rows].topk(int(wanted.max()), dim=1).values
            found[rows] = largest.gather(1, wanted - 1)[:, 0]
    return found


def _scale(delta: Images, scale: PerImage, misread: Mask) -> None:
    """Changes scaled to their radius; those that fool are only ever shortened."""
    delta.mul_(_spread(torch.where(misread, scale.clamp_max(1), scale)))


def _cuts(sizes: Float[Tensor, "n d"], radii: PerImage) -> PerImage:
    """By how much each pixel's change is shortened so that together they are as large as allowed.

    Newton's method for the sum of max(size - cut, 0), which falls ever more slowly: from 0 the cut
    rises to the answer and never beyond it.
    """
    cut, left = torch.zeros_like(radii), torch.empty_like(sizes)
    for _ in range(_ROUNDS):
        torch.sub(sizes, cut[:, None], out=left).clamp_min_(0)
        over = left.sum(1) - radii
        # A row stands once it has arrived, whatever the others still need.
        climbs = over > _REST * radii
        if not climbs.any():
            break
        cut = torch.where(climbs, cut + over / left.sign_().sum(1).clamp_min_(1), cut)
    return cut


def _steepest(by_pixel: Images) -> Images:
    return MEASURES["L2"].steepest(by_pixel)


def _spread(values: PerImage) -> Float[Tensor, "n 1 1 1"]:
    return values[:, None, None, None]


@dataclass(frozen=True)
class _Way:
    """What differs between the norms.

    Attributes:
        dual: the order of the norm that measures how much a change of size 1 can gain.
        step_size: of the first step.
        radii: the next radius of each image's ball.
        step: the change moved along the gradient and back into the ball, in place.
    """

    dual: float
    step_size: float
    radii: Callable[..., PerImage]
    step: Callable[..., None]


_WAYS = {
    "L0": _Way(2, 30.0, _counted, _l0),
    "L1": _Way(math.inf, 1.0, _followed, _l1),
    "L2": _Way(2, 1.0, _followed, _l2),
    "Linf": _Way(1, 1.0, _followed, _linf),
}
