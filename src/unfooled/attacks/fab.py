"""Fast Adaptive Boundary: steps onto the linearised decision boundary, drawn back to the image."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.hyperplane import to_plane
from unfooled.losses import margin
from unfooled.norms import NORMS as MEASURES
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, Mask, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "gradients"
NORMS = ("Linf", "L2", "L1")

# Logits, and the boundary as a plane near each attempt: how far the wrong class leads, and the
# gradient of that.
Plane = tuple[Logits, PerImage, Images]

_DUALS = {"Linf": 1.0, "L2": 2.0, "L1": math.inf}
_SEARCH = 3  # passes of the final search
_BEYOND = 0.05  # share of the rest by which the final search stays on the far side


def fab(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 100,
    restarts: int = 1,
    over_targets: int = 0,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
) -> Images:
    """The nearest misread image on a walk along the decision boundary.

    With a finite eps an image leaves as soon as it is misread within eps; with an infinite one the
    nearest is sought to the end.

    Args:
        steps: places at which a gradient is taken, for each restart and class, at least 1.
        restarts: starts, at least 1: the image itself, then random ones within half of eps or of
            the distance found so far.
        over_targets: 0 looks at every class at each step, a gradient for each; k goes towards the k
            most likely wrong classes one after the other, one gradient a step. Either way an image
            counts that is misread as any class. With targets, their class alone is sought.
        alpha_max: the most that a step is drawn to the original image, in [0, 1].
        eta: how far a step goes beyond the plane, at least 1.
        beta: what a misread image keeps of its way when it is drawn back, in (0, 1).

    Raises:
        InvalidOption: an option is out of its range.

    Source: Croce and Hein 2020, https://arxiv.org/abs/1907.02044, section 2 and algorithm 1; one
    class at a time: Croce and Hein 2020, https://arxiv.org/abs/2003.01690, section 4.
    """
    _check(steps, restarts, over_targets, alpha_max, eta, beta)
    batch = Batch.of(model, images, labels, targets, draws)
    logits = batch.logits(images)
    clean = margin(logits, labels, targets)
    found = _Found(images.clone(), torch.full_like(clean, torch.inf), clean.clone())
    found.note(batch, images, logits, threat.norm)
    near = 0.0 if math.isinf(threat.eps) else threat.eps * (1 - 1e-6)

    def walk(left: Batch, current: Images, plane: Callable[[Batch, Images], Plane]) -> None:
        for _ in range(steps):
            logits, values, by_pixel = plane(left, current)
            found.note(left, current, logits, threat.norm)
            current = _step(threat.norm, left.images, current, values, by_pixel, alpha_max, eta)
            logits = left.logits(current)
            misread = found.note(left, current, logits, threat.norm)
            back = torch.where(misread, beta, 1.0).to(current.dtype).view(-1, 1, 1, 1)
            current = torch.lerp(left.images, current, back)
            stays = found.sizes[left.places] > near
            if not stays.all():
                left, current = left.keep(stays), current[stays]
                if not len(left):
                    return

    for number, plane in enumerate(_planes(batch, logits, over_targets, threat.norm)):
        for restart in range(restarts):
            left = batch.keep(found.sizes > near)
            if not len(left):
                break
            start = left.images
            if restart:
                chance = left.draws.step(number).step(restart)
                start = _start(threat, left.images, found.sizes[left.places], chance)
            walk(left, start, plane)
    _search(batch.keep(found.sizes.isfinite() & (found.sizes > 0)), clean, found, threat.norm)
    return found.images


def cost(*, steps: int, restarts: int, over_targets: int, **_: object) -> int:
    """About two passes a step, if a gradient for every class is taken as one."""
    return 2 * steps * restarts * max(1, over_targets)


@dataclass(frozen=True)
class _Found:
    """The nearest misread images so far; without one, the image itself at an infinite distance."""

    images: Images
    sizes: PerImage
    margins: PerImage

    def note(self, batch: Batch, attempts: Images, logits: Logits, norm: str) -> Mask:
        """Which attempts are misread; those that are nearer than what was known are kept.

        One that is misread by no more than rounding is not kept: in another batch it may be read
        correctly.
        """
        misread = batch.misread(logits)
        rows = misread.nonzero()[:, 0]
        if len(rows):
            places, answers = batch.places[rows], logits[rows]
            aims = None if batch.targets is None else batch.targets[rows]
            margins = margin(answers, batch.labels[rows], aims)
            sizes = MEASURES[norm].size(attempts[rows] - batch.images[rows])
            kept = batch.clearly_misread(logits)[rows] & (sizes < self.sizes[places])
            rows, places = rows[kept], places[kept]
            self.images[places] = attempts[rows]
            self.sizes[places], self.margins[places] = sizes[kept], margins[kept]
        return misread


def _check(
    steps: int, restarts: int, over_targets: int, alpha_max: float, eta: float, beta: float
) -> None:
    whole = steps >= 1 and restarts >= 1 and over_targets >= 0
    if not (whole and 0 <= alpha_max <= 1 and eta >= 1 and 0 < beta < 1):
        raise InvalidOption(
            "fab needs steps >= 1, restarts >= 1, over_targets >= 0, alpha_max in [0, 1], "
            f"eta >= 1 and beta in (0, 1); it got steps={steps}, restarts={restarts}, "
            f"over_targets={over_targets}, alpha_max={alpha_max}, eta={eta}, beta={beta}"
        )


def _planes(
    batch: Batch, logits: Logits, over_targets: int, norm: str
) -> list[Callable[[Batch, Images], Plane]]:
    """The ways to find the boundary that are followed one after the other."""
    if batch.targets is not None:
        return [lambda left, current: left.gradient(current, margin)]
    if not over_targets:
        return [lambda left, current: _nearest_plane(left, current, norm)]
    count = min(over_targets, logits.shape[1] - 1)
    others = logits.scatter(1, batch.labels[:, None], -torch.inf).nan_to_num(-math.inf)
    ranked = others.argsort(dim=1, descending=True, stable=True)

    def towards(classes: Labels) -> Callable[[Batch, Images], Plane]:
        return lambda left, current: left.aimed(classes[left.places]).gradient(current, _lead)

    return [towards(ranked[:, place]) for place in range(count)]


def _lead(logits: Logits, labels: Labels, targets: Labels | None) -> PerImage:
    """The logit of the class that is aimed at, less that of the label."""
    aims = labels if targets is None else targets
    lead: PerImage = logits.gather(1, torch.stack([aims, labels], dim=1)).diff(dim=1)[:, 0].neg()
    return lead


def _nearest_plane(batch: Batch, current: Images, norm: str) -> Plane:
    """The boundary to the class whose plane is nearest."""
    logits, jacobian = batch.jacobian(current)
    every = torch.arange(len(batch), device=logits.device)
    leads = logits - logits[every, batch.labels][:, None]
    slopes = (jacobian - jacobian[every, batch.labels][:, None]).flatten(2)
    # Scaled to a largest slope of 1: squares of vanishing gradients underflow in float32.
    largest = torch.linalg.vector_norm(slopes, ord=math.inf, dim=(1, 2))
    tiny = torch.finfo(slopes.dtype).tiny
    slopes = slopes.div_(largest.clamp_min(tiny)[:, None, None])
    steepness = torch.linalg.vector_norm(slopes, ord=_DUALS[norm], dim=2)
    far = (leads.abs() / steepness.clamp_min(tiny)).scatter(1, batch.labels[:, None], torch.inf)
    nearest = far.argmin(1)
    by_pixel = jacobian[every, nearest] - jacobian[every, batch.labels]
    return logits, leads[every, nearest], by_pixel


def _step(
    norm: str,
    images: Images,
    current: Images,
    values: PerImage,
    by_pixel: Images,
    alpha_max: float,
    eta: float,
) -> Images:
    """Onto the plane and a little beyond, partly from where it is, partly from the original."""
    points, clean, weights = current.flatten(1), images.flatten(1), by_pixel.flatten(1)
    size = MEASURES[norm].size
    there = to_plane(norm, points, weights, values)
    at_clean = values + torch.linalg.vecdot(weights, clean - points)
    from_clean = to_plane(norm, clean, weights, at_clean)
    far = size(there.view_as(images))
    both = far + size(from_clean.view_as(images))
    alpha = (far / both.clamp_min(torch.finfo(far.dtype).tiny)).clamp_max(alpha_max)
    there.mul_(eta).add_(points)
    from_clean.mul_(eta).add_(clean)
    return there.lerp_(from_clean, alpha[:, None]).clamp_(0, 1).view_as(images)


def _start(threat: Threat, images: Images, sizes: PerImage, draws: Draws) -> Images:
    """A random image within half of the distance that is still of interest."""
    norm = MEASURES[threat.norm]
    # An image that was never misread may have to go as far as the box reaches.
    reach = norm.size(torch.maximum(images, 1 - images))
    radius = torch.minimum(sizes.clamp_max(threat.eps or math.inf), reach) / 2
    change = norm.inside(images, 1.0, draws) * radius.view(-1, 1, 1, 1)
    return (images + change).clamp_(0, 1)


def _search(batch: Batch, clean: PerImage, found: _Found, norm: str) -> None:
    """Back along the straight line to the original, to where the margin should vanish."""
    if not len(batch):
        return
    ends = found.images[batch.places]
    low, below = torch.zeros_like(clean[batch.places]), clean[batch.places]
    high, above = torch.ones_like(low), found.margins[batch.places]
    for _ in range(_SEARCH):
        share = (-below / (above - below)).nan_to_num(0.5).clamp(0, 1)
        middle = low + (high - low) * (share + _BEYOND * (1 - share))
        attempts = torch.lerp(batch.images, ends, middle.view(-1, 1, 1, 1))
        logits = batch.logits(attempts)
        misread = found.note(batch, attempts, logits, norm)
        value = margin(logits, batch.labels, batch.targets)
        low, below = torch.where(misread, low, middle), torch.where(misread, below, value)
        high, above = torch.where(misread, middle, high), torch.where(misread, value, above)
