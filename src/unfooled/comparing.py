"""The same attack through several libraries, and what they return judged by our judge.

All get the same network, images, threat, steps and step size. A library *says* what the network
reads of what it returned, as its own examples count; the judge also measures each image's distance
and range, and asks again.
"""

import contextlib
import io
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from unfooled import evaluation
from unfooled.attack import Attack
from unfooled.errors import InvalidInput, JobFailed, UnfooledError, named
from unfooled.evaluation import Evaluation
from unfooled.gradients import frozen, predict
from unfooled.peer import Peer, Task, Way
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.threat import Threat

_AT_ONCE = 1000  # images that a library gets
_UNLIKELY = 0.05


@dataclass(frozen=True)
class Compared:
    """What came of one library.

    Attributes:
        peer: the library.
        task: what it was asked for.
        missing: why there is no result; "" where there is one.
        says: robust accuracy as the library's own examples count it.
        facts: of our judge; None where there is no result.
        farthest: the largest distance of a returned image from its original.
        seconds: that the attack took, wall clock.
        lost: images that the library misread within the threat on the way, and returned otherwise.
    """

    peer: Peer
    task: Task
    missing: str = ""
    says: float = float("nan")
    facts: Evaluation | None = None
    farthest: float = 0.0
    seconds: float = float("nan")
    lost: int = 0


@dataclass(frozen=True)
class _Case:
    """What every library meets."""

    model: nn.Module
    images: Images
    labels: Labels
    task: Task
    threat: Threat
    seed: int


def compare(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    attack: str,
    budget: int,
    peers: Sequence[Peer],
    seed: int = 0,
) -> list[Compared]:
    """What each library makes of the same task, one after the other.

    Args:
        model: as its user hands it over; it is left as it was.
        images, labels: float in [0, 1], and their classes.
        threat: of finite eps above 0.
        attack: our name of it.
        budget: steps, or queries of a black box; at least 1.
        peers: the libraries, as `peer.find` gives them.
        seed: of all chance.

    Raises:
        InvalidInput: the budget is below 1, or eps is 0.
        InvalidThreat: eps is infinite.
    """
    threat.bounded()
    if budget < 1 or threat.eps == 0:
        raise InvalidInput(
            f"a comparison needs at least 1 step and an eps above 0; {budget} and {threat.eps:g} "
            "came"
        )
    channels, height, width = images.shape[1:]
    with frozen(model):
        classes = predict(model, images[:1]).shape[1]
        task = Task(attack, budget, threat.norm, (threat.eps,), (channels, height, width), classes)
        case = _Case(model, images, labels, task, threat, seed)
        return [_compared(case, one) for one in peers]


def _compared(case: _Case, one: Peer) -> Compared:
    if one.version is None:
        return Compared(one, case.task, f"not installed; {one.install} brings it")
    try:
        with _quiet(case.seed):
            way = one.prepare(case.model, case.task, min(len(case.images), _AT_ONCE), case.seed)
            start = time.perf_counter()
            found = _returned(case, way)
            seconds = time.perf_counter() - start
        facts = _judged(case, one, found)
        # Once more, on a model that looks on; the seconds are those of the bare one.
        lost = _lost(case, one, facts) if facts.robust[0].any() else 0
    except UnfooledError as error:
        return Compared(one, case.task, str(error))
    except (Exception, SystemExit) as error:  # whatever a library raises
        return Compared(one, case.task, named(error))
    says = float((evaluation.read(predict(case.model, found)) == facts.labels).mean())
    far = case.threat.distance(case.images, found)
    return Compared(one, case.task, "", says, facts, float(far.max()), seconds, lost)


def _returned(case: _Case, way: Way) -> Images:
    """What a library returns, as images of the kind that the judge takes."""
    (found,) = way(case.images.clone(), case.labels.clone())
    if found.shape != case.images.shape:
        raise JobFailed(f"it returned {list(found.shape)} for images {list(case.images.shape)}")
    return found.detach().to(case.images)


def _judged(case: _Case, one: Peer, found: Images) -> Evaluation:
    """The facts, by an attack that returns what was found before."""
    every = torch.arange(len(found))

    def again(*_: object, draws: Draws, targets: Labels | None) -> Images:  # noqa: ARG001
        ids = every if draws.ids is None else draws.ids
        return found[ids.to(found.device)]

    replay = Attack(one.name, again, "bounded", "scores", (case.threat.norm,))
    draws = Draws(case.seed, "compare", every)
    return evaluation.evaluate(
        case.model, case.images, case.labels, replay, [case.threat], draws=draws
    )


class _Watched(nn.Module):
    """A model that notes which images were misread within the threat, where all come at once."""

    def __init__(self, case: _Case) -> None:
        super().__init__()
        self.model, self.case = case.model, case
        self.misread = torch.zeros(len(case.labels), dtype=torch.bool)

    def forward(self, images: Images) -> Logits:
        """The model's own answer."""
        logits: Logits = self.model(images)
        if images.shape == self.case.images.shape:
            with torch.no_grad():
                inside = self.case.threat.allows(self.case.images, images.float())
                self.misread |= ((logits.argmax(1) != self.case.labels) & inside).cpu()
        return logits


def _lost(case: _Case, one: Peer, facts: Evaluation) -> int:
    """How many images that stand in the end were misread within the threat on the way."""
    if len(case.images) > _AT_ONCE:
        return 0  # they come in parts, whose rows cannot be told
    watched = _Watched(case).eval()
    with _quiet(case.seed):
        _returned(case, one.prepare(watched, case.task, len(case.images), case.seed))
    return int((facts.robust[0] & watched.misread.numpy()).sum())


@contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """Every generator set by the seed and put back afterwards, and nothing printed."""
    numbers, choices = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    nowhere = io.StringIO()
    try:
        with (
            Draws(seed, "compare").torch_state(),
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    finally:
        np.random.set_state(numbers)
        random.setstate(choices)


def reasons(one: Compared, ours: Compared, threat: Threat) -> list[str]:
    """What explains a library's numbers, and how they differ from ours; one sentence each."""
    if one.facts is None:
        return []
    facts, found = one.facts, list[str]()
    outside = facts.correct & ~facts.inside[0]
    if outside.any():
        fooling = int((outside & (facts.read_as[0] != facts.labels)).sum())
        found.append(
            f"{int(outside.sum())} images lie outside {threat} or [0, 1], the farthest at "
            f"{one.farthest:.4g}; {fooling} of them are misread and count as not fooled"
        )
    elif one.farthest > threat.eps:
        found.append(
            f"images lie up to {one.farthest - threat.eps:.1g} farther than eps by float rounding, "
            "which is allowed"
        )
    if one.lost:
        found.append(
            f"{one.lost} images were misread within eps on the way and came back read correctly: "
            "it returns the last step, not the best"
        )
    healed = int((~facts.correct).sum())
    if healed:
        found.append(
            f"{healed} images are misread without attack and count as not robust, whatever "
            "it returns for them"
        )
    known = one.peer.known.get((one.task.attack, one.task.norm))
    if known is not None:
        found.append(known)
    if one.task.attack in one.peer.alone:
        found.append(f"left alone it would take {one.peer.alone[one.task.attack]}")
    if one is not ours and ours.facts is not None:
        found.append(_apart(facts.robust[0], ours.facts.robust[0]))
    return found


def _apart(theirs: NDArray[np.bool_], ours: NDArray[np.bool_]) -> str:
    more, fewer = int((theirs & ~ours).sum()), int((~theirs & ours).sum())
    if not more and not fewer:
        return "the same images stand as with ours"
    # Of images that differ, half would do so either way if neither were stronger: a sign test.
    p = float(stats.binomtest(more, more + fewer).pvalue)
    verdict = "which chance does not explain" if p < _UNLIKELY else "as chance would have it"
    return (
        f"{more} images stand that ours fools, {fewer} are fooled that stand with ours, "
        f"{verdict} (p = {p:.2g})"
    )
