"""How images climb a loss: each from where it has been to its next point, by its own step size.

`Halving` is the way under Linf and L2, `Sparse` the way under L1. Both work on a `Trail`, and know
nothing of the model: whoever climbs brings the losses and gradients.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unfooled import l1_box
from unfooled.shapes import Images, Mask, PerImage
from unfooled.threat import Threat
from unfooled.victim import Rows

# Of the L1 way: the authors' own numbers.
_DENSE = 0.3  # a start that changes more of the pixels counts as if it changed this share of them
_FEWER = 1.5  # a step changes so many times fewer pixels than the best point does
_SHORTER = 1.5  # by this a step size is divided, down to eps by
_SHORTEST = 10
_SAME = 0.95  # from this share on, the best point counts as no sparser than before


class Trail(NamedTuple):
    """Where each image is and has been, row by row."""

    current: Images
    previous: Images
    best: Images
    best_gradient: Images
    losses: PerImage
    best_losses: PerImage
    checked_losses: PerImage  # the best ones at the last checkpoint
    rises: PerImage  # how often the loss rose since the last checkpoint
    slowed: Mask  # whether the step size was halved at the last checkpoint
    sizes: PerImage  # of the steps
    changed: PerImage  # under L1: how many pixels the best point changed at the last checkpoint

    @classmethod
    def begun(cls, start: Images, size: float, changed: PerImage) -> "Trail":
        """At a start whose loss is not known yet."""
        lowest = start.new_full((len(start),), -math.inf)
        return cls(
            current=start,
            previous=start,
            best=start.clone(),
            best_gradient=torch.zeros_like(start),
            losses=lowest.neg(),  # so that the first loss is no rise
            best_losses=lowest,
            checked_losses=lowest.clone(),
            rises=torch.zeros_like(lowest),
            slowed=torch.ones_like(lowest, dtype=torch.bool),
            sizes=torch.full_like(lowest, size),
            changed=changed,
        )

    def keep(self, rows: Rows) -> "Trail":
        """The rows at these places."""
        return Trail(*(tensor.index_select(0, rows) for tensor in self))

    def moved(self, to: Images) -> "Trail":
        """The same rows, at their next points."""
        return self._replace(current=to, previous=self.current)

    def note(self, losses: PerImage, gradient: Images) -> None:
        """Remember what was found at the current points."""
        self.rises.add_(losses > self.losses)
        self.losses.copy_(losses)
        better = (losses > self.best_losses).nonzero()[:, 0]
        self.best.index_copy_(0, better, self.current.index_select(0, better))
        self.best_gradient.index_copy_(0, better, gradient.index_select(0, better))
        self.best_losses.index_copy_(0, better, losses.index_select(0, better))

    def back(self, which: Mask, gradient: Images) -> None:
        """Return these rows, and their gradient, to their best points."""
        rows = which.nonzero()[:, 0]
        self.current.index_copy_(0, rows, self.best.index_select(0, rows))
        gradient.index_copy_(0, rows, self.best_gradient.index_select(0, rows))


@dataclass(frozen=True)
class Halving:
    """Steps with momentum, whose size is halved where the loss no longer rises.

    Attributes:
        threat: to stay in; of Linf or L2.
        steps: from the first point to the last.
        momentum: share of the new step in each move; the rest is the last move once more.
        rho: share of the steps between two checkpoints that must raise the loss.

    Source: Croce and Hein 2020, https://arxiv.org/abs/2003.01690, section 3, algorithm 1.
    """

    threat: Threat
    steps: int
    momentum: float
    rho: float

    def begin(self, start: Images, _images: Images) -> Trail:
        """The first steps are as long as the ball is wide."""
        return Trail.begun(start, 2 * self.threat.eps, torch.zeros_like(start[:, 0, 0, 0]))

    def checkpoints(self) -> dict[int, int]:
        """The steps after which sizes may be halved, and how many lie between it and the last.

        The first comes after 22 % of the steps, the others at distances that shrink by 3 % of the
        steps, to no less than 6 %.
        """
        checks: dict[int, int] = {}
        last, percent, gap = 0, 22, 22
        while percent <= 100:
            step = -(-percent * self.steps // 100)
            if step > last:
                checks[step], last = step - last, step
            gap = max(gap - 3, 6)
            percent += gap
        return checks

    def check(self, trail: Trail, gradient: Images, _images: Images, since: int) -> None:
        """Halve the step size where the loss rose too rarely, or the best has stayed the same."""
        rarely = trail.rises <= self.rho * since
        stuck = ~trail.slowed & (trail.best_losses <= trail.checked_losses)
        slow = rarely | stuck
        trail.sizes.mul_(torch.where(slow, 0.5, 1.0))
        trail.back(slow, gradient)
        trail.slowed.copy_(slow)
        trail.rises.zero_()
        trail.checked_losses.copy_(trail.best_losses)

    def next(self, trail: Trail, gradient: Images, images: Images, step: int) -> Images:
        """The next points; the gradient and the previous points are used up."""
        # In place wherever it can be: beside the passes, this is where the time goes.
        lengths = _LENGTHS[self.threat.norm](gradient)
        moved = gradient.mul_(_spread(trail.sizes / lengths)).add_(trail.current)
        moved = self.within(moved, images)
        if step == 0:
            return moved
        # Where the last move would lead if it were made once more.
        again = trail.previous.lerp_(trail.current, 2)
        return self.within(moved.lerp_(again, 1 - self.momentum), images)

    def within(self, points: Images, images: Images) -> Images:
        """`Threat.project` in place."""
        delta = _SHORTEN[self.threat.norm](points.sub_(images), self.threat.eps)
        return delta.add_(images).clamp_(0, 1)


@dataclass(frozen=True)
class Sparse:
    """Steps along the largest entries of the gradient, as many as the best point's sparsity says.

    Attributes:
        threat: to stay in; of L1.
        steps: from the first point to the last.

    Source: Croce and Hein 2021, https://arxiv.org/abs/2103.01208, section 3.1.
    """

    threat: Threat
    steps: int

    def begin(self, start: Images, images: Images) -> Trail:
        """The first steps have the size of the ball; a dense start counts as `_DENSE` of all."""
        changed = _changed(start, images).clamp_max(_DENSE * start[0].numel())
        return Trail.begun(start, self.threat.eps, changed)

    def checkpoints(self) -> dict[int, int]:
        """Every 25th part of the steps."""
        gap = max(self.steps // 25, 1)
        return dict.fromkeys(range(gap, self.steps, gap), gap)

    def check(self, trail: Trail, gradient: Images, images: Images, _since: int) -> None:
        """Start over with long steps from a best point that became sparser; else shorten them."""
        eps = self.threat.eps
        changed = _changed(trail.best, images)
        sparser = changed < _SAME * trail.changed
        shorter = (trail.sizes / _SHORTER).clamp_min_(eps / _SHORTEST)
        trail.sizes.copy_(torch.where(sparser, eps, shorter))
        trail.changed.copy_(changed)
        trail.back(sparser, gradient)

    def next(self, trail: Trail, gradient: Images, images: Images, _step: int) -> Images:
        """The next points; the gradient is used up."""
        counts = (trail.changed / _FEWER).long().clamp_min_(1)
        steep = gradient.abs().flatten(1)
        least = _ascending(steep).gather(1, steep.shape[1] - counts[:, None])
        chosen = gradient.sign_().mul_((steep >= least).view_as(gradient))
        lengths = chosen.abs().flatten(1).sum(1).clamp_min_(1)
        moved = chosen.mul_(_spread(trail.sizes / lengths)).add_(trail.current)
        return self.within(moved, images)

    def within(self, points: Images, images: Images) -> Images:
        """The nearest points in the threat; the given ones are used up."""
        delta = l1_box.project(points.sub_(images), images, self.threat.eps)
        return delta.add_(images).clamp_(0, 1)


Ascent = Halving | Sparse


def _spread(values: PerImage) -> Float[Tensor, "n 1 1 1"]:
    return values[:, None, None, None]


def _changed(points: Images, images: Images) -> PerImage:
    """How many pixels each point changed."""
    return (points != images).flatten(1).sum(1).to(images.dtype)


def _ascending(values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Each row in order."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    # On a CPU torch takes 25 times as long.
    return torch.from_numpy(np.sort(values.numpy(), axis=1))


def _sign_(gradient: Images) -> PerImage:
    """The steepest direction under Linf in the gradient's place, and its length: 1 for each."""
    return torch.ones_like(gradient.sign_()[:, 0, 0, 0])


def _scaled_(gradient: Images) -> PerImage:
    """The steepest direction under L2 in the gradient's place, and its length."""
    # Divided by the largest entry first: the squares of a vanishing gradient underflow in float32.
    flat = gradient.flatten(1)
    largest = torch.maximum(flat.amax(1), flat.amin(1).neg_()).clamp_min_(1e-38)
    lengths: PerImage = gradient.mul_(_spread(1 / largest)).flatten(1).norm(dim=1)
    return lengths.clamp_min_(1e-30)


def _clamped_(delta: Images, eps: float) -> Images:
    return delta.clamp_(-eps, eps)


def _shortened_(delta: Images, eps: float) -> Images:
    # Below eps by what rounding image + change in float32 may add.
    radius = max(0.0, eps - 6e-8 * math.sqrt(delta[0].numel()))
    lengths: PerImage = delta.flatten(1).norm(dim=1)
    return delta.mul_(_spread((radius / lengths.clamp_min_(1e-30)).clamp_max_(1)))


_LENGTHS = {"Linf": _sign_, "L2": _scaled_}
_SHORTEN = {"Linf": _clamped_, "L2": _shortened_}
