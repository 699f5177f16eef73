"""Auto-PGD: projected gradient ascent with momentum that halves each image's own step size."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from unfooled import losses as loss_functions
from unfooled.ascent import Ascent, Halving, Sparse, Trail
from unfooled.errors import InvalidOption
from unfooled.gradients import Loss
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, Mask, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "gradients"
NORMS = ("Linf", "L2", "L1")

# Under L1: the radius as a multiple of eps, and the share of the steps; the last takes the rest.
_WIDER = ((3, 0.3), (2, 0.3))

_LOSSES: dict[str, Loss] = {
    "cross_entropy": loss_functions.cross_entropy,
    "dlr": loss_functions.dlr,
    "margin": loss_functions.margin,
}


def apgd(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps: int = 100,
    restarts: int = 1,
    loss: str | None = None,
    over_targets: int = 0,
    momentum: float = 0.75,
    rho: float = 0.75,
) -> Images:
    """Gradient ascent that goes back to the best point and slows down when it no longer rises.

    An image leaves as soon as it is fooled. One that is never fooled comes back where its loss was
    highest. Under L1 the steps are sparse and without momentum, and how sparse they are follows
    from how many pixels the best point so far changes.

    Args:
        steps: gradient evaluations a restart, at least 1.
        restarts: random starts, at least 1; only images that still stand start again.
        loss: "cross_entropy", "dlr" or "margin"; None takes "cross_entropy", and "dlr" over
            targets. With fewer than 3 classes (4 over targets) "dlr" is the margin.
        over_targets: how many wrong classes to aim at one after another, the likeliest first, each
            with all restarts; 0 or more, capped at all wrong classes. An image is fooled when it
            is misread at all. Ranking them takes one forward pass. Of no effect with `targets`.
        momentum: share of the new step in each move, above 0 and at most 1; the rest is the last
            move again. Of no effect under L1.
        rho: share of the steps between two checkpoints that must raise the loss, or the step size
            is halved; 0 to 1. Of no effect under L1.

    Raises:
        InvalidOption: an option outside its range, or an unknown loss.
        InvalidThreat: eps is infinite, so there is no ball to start in.

    Source: Croce and Hein 2020, https://arxiv.org/abs/2003.01690, section 3, algorithm 1, and
    section 4 for dlr and targets; under L1 Croce and Hein 2021, https://arxiv.org/abs/2103.01208,
    section 3.1.
    """
    name = loss or ("dlr" if over_targets and targets is None else "cross_entropy")
    if (
        steps < 1
        or restarts < 1
        or over_targets < 0
        or name not in _LOSSES
        or not (0 < momentum <= 1 and 0 <= rho <= 1)
    ):
        raise InvalidOption(
            "apgd needs steps >= 1, restarts >= 1, over_targets >= 0, 0 < momentum <= 1, "
            f"0 <= rho <= 1 and a loss of {', '.join(_LOSSES)}; it got steps={steps}, "
            f"restarts={restarts}, over_targets={over_targets}, momentum={momentum}, rho={rho}, "
            f"loss={loss!r}"
        )
    fooled = Batch.misread if targets is not None else _misread_at_all
    climb = _Climb(_phases(threat, steps, momentum, rho), _LOSSES[name], fooled)
    batch = Batch.of(model, images, labels, targets, draws)
    best = _Best(images.clone(), images.new_full((len(images),), -math.inf))
    left = batch
    for rank, aims in enumerate(_aims(batch, over_targets)):
        for restart in range(restarts):
            aimed = left.aimed(None if aims is None else aims[left.places])
            left = climb.up(aimed, left.draws.step(rank).step(restart), best)
            if not len(left):
                return best.images
    return best.images


def cost(*, steps: int, restarts: int, over_targets: int, **_: object) -> int:
    """Passes that an image takes which stands to the end."""
    return steps * restarts * max(1, over_targets)


def _phases(threat: Threat, steps: int, momentum: float, rho: float) -> list[Ascent]:
    """One ascent with all steps; under L1 first in wider balls, each starting where one ended."""
    threat.bounded()
    if threat.norm != "L1":
        return [Halving(threat, steps, momentum, rho)]
    wide: list[Ascent] = [
        Sparse(Threat("L1", times * threat.eps), int(share * steps)) for times, share in _WIDER
    ]
    rest = steps - sum(phase.steps for phase in wide)
    return [*(phase for phase in wide if phase.steps), Sparse(threat, rest)]


def _aims(batch: Batch, over_targets: int) -> Iterator[Labels | None]:
    """What to aim at, in turn: the given targets or nothing, or the likeliest wrong classes."""
    if over_targets == 0 or batch.targets is not None:
        yield batch.targets
        return
    logits = batch.logits(batch.images).scatter_(1, batch.labels[:, None], -math.inf)
    # The last is the label itself.
    ranked = logits.argsort(dim=1, descending=True, stable=True)[:, :-1]
    yield from ranked[:, :over_targets].unbind(1)


def _misread_at_all(batch: Batch, logits: Logits) -> Mask:
    """Whether the label is not read, whichever class was aimed at."""
    return batch.aimed(None).misread(logits)


class _Best(NamedTuple):
    """What comes back: for each image of the batch the fooling one, or that of the highest loss."""

    images: Images
    losses: PerImage


@dataclass(frozen=True)
class _Climb:
    """How to ascend, for any images.

    Attributes:
        phases: one after another; only in the last is it the threat itself in which they stay.
        loss: to climb.
        fooled: whether logits are what the attack wants.
    """

    phases: list[Ascent]
    loss: Loss
    fooled: Callable[[Batch, Logits], Mask]

    def up(self, left: Batch, draws: Draws, best: _Best) -> Batch:
        """The images that still stand after one ascent; what was found goes into `best`."""
        first, *later = self.phases
        start = first.threat.random_start(left.images, draws)
        trail = first.begin(start, left.images)
        for phase in later:
            trail, _ = self._ascend(trail, left, first, None)
            trail = phase.begin(phase.within(trail.best, left.images), left.images)
            first = phase
        trail, left = self._ascend(trail, left, first, best)
        if len(left):
            higher = trail.best_losses > best.losses[left.places]
            places = left.places[higher]
            best.images[places], best.losses[places] = trail.best[higher], trail.best_losses[higher]
        return left

    def _ascend(
        self, trail: Trail, left: Batch, phase: Ascent, best: _Best | None
    ) -> tuple[Trail, Batch]:
        """One phase; images that are fooled leave, if there is a place for them to go to."""
        checks = phase.checkpoints()
        for step in range(phase.steps):
            logits, losses, gradient = left.gradient(trail.current, self.loss)
            # A gradient may lie in memory as the model's convolutions like it, not as images do.
            gradient = gradient.contiguous()
            done = self.fooled(left, logits)
            if best is not None and done.any():
                best.images[left.places[done]] = trail.current[done]
                rows = (~done).nonzero()[:, 0]
                left, trail = left.keep(rows), trail.keep(rows)
                losses, gradient = losses[rows], gradient[rows]
                if not len(left):
                    break
            trail.note(losses, gradient)
            if step in checks:
                phase.check(trail, gradient, left.images, checks[step])
            if step + 1 < phase.steps:
                trail = trail.moved(phase.next(trail, gradient, left.images, step))
        return trail, left
