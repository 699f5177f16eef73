"""What attacks.py measures: which libraries meet in which attack, and how one contest is held."""

import dataclasses
import math
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import workers
from workers import Outcome, Team

from unfooled.peer import Task

BATCHES = (100, 1000)
SWEPT = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
NETS = {"robust": 0.3, "plain": 0.1}  # and the Linf eps at which each is attacked
ANYWHERE = dict.fromkeys(NETS, (math.inf,))
BOUNDED = {name: (eps,) for name, eps in NETS.items()}
FEWER = 50  # the tutorial's loop gets one image for so many of the others'


@dataclass(frozen=True)
class Contest:
    """An attack that several libraries have.

    Attributes:
        attack: our name of it.
        title: as the tables have it.
        budget: steps or queries.
        eps: for each network on which it is held; infinite for the nearest misread image.
        share: images, as a multiple of `--images`.
        libraries: besides ours.
        turns: alternations, as a multiple of `--repeats`; less where one takes long.
    """

    attack: str
    title: str
    budget: int
    eps: Mapping[str, tuple[float, ...]]
    share: float
    libraries: tuple[str, ...]
    turns: float = 1.0

    @property
    def bounded(self) -> bool:
        return math.isfinite(next(iter(self.eps.values()))[0])

    def task(self, net: str) -> Task:
        norm = "Linf" if self.bounded else "L2"
        return Task(self.attack, self.budget, norm, self.eps[net], (1, 28, 28), 10)

    def place(self, net: str) -> int:
        """Of the network's own eps among those of the contest."""
        return self.eps[net].index(NETS[net]) if self.bounded else 0


_FGSM = ("torchattacks", "cleverhans", "foolbox", "ART", "tutorial")
_PGD = ("torchattacks", "adv-lib", "cleverhans", "foolbox", "ART")
_APGD = ("adv-lib", "torchattacks", "ART")
_NEAREST = ("adv-lib", "foolbox")
_SQUARE = ("torchattacks", "ART")
_HOPS = ("cleverhans", "ART")
CONTESTS = (
    Contest("fgsm", "FGSM at 7 eps", 1, dict.fromkeys(NETS, SWEPT), 10, _FGSM, turns=0.6),
    Contest("pgd", "PGD, 40 steps", 40, BOUNDED, 1, _PGD),
    Contest("apgd", "APGD-CE, 100 steps", 100, BOUNDED, 0.3, _APGD),
    Contest("autoattack", "AutoAttack", 100, {"robust": (0.3,)}, 0.1, ("torchattacks",), turns=0.6),
    Contest("square", "Square, 1,000 queries", 1000, BOUNDED, 0.3, _SQUARE, turns=0.6),
    Contest("hopskipjump", "HopSkipJump, 5,000 queries", 5000, ANYWHERE, 0.1, _HOPS, turns=0.6),
    Contest("ddn", "DDN, 100 steps", 100, ANYWHERE, 0.5, _NEAREST),
    Contest("fmn", "FMN, 100 steps", 100, ANYWHERE, 0.5, _NEAREST),
)


@dataclass(frozen=True)
class Entry:
    """What a library did in a contest: its outcomes, and the images it was given at once."""

    library: str
    count: int
    batch: int | None
    outcomes: tuple[Outcome, ...]

    @property
    def seconds(self) -> float:
        """Median seconds an image."""
        return statistics.median(one.seconds for one in self.outcomes) / self.count

    def strength(self, place: int) -> float:
        """Median of the runs, at one of the eps."""
        return statistics.median(one.strength[place] for one in self.outcomes)


Field = dict[str, Entry]  # by library, ours first
Held = dict[tuple[str, str], Field]  # by attack and network


def held(team: Team, contest: Contest, net: str, images: int, repeats: int) -> Field:
    """A contest on one network: the libraries in turn."""
    task = contest.task(net)
    count = max(1, round(images * contest.share))
    counts = dict.fromkeys(("unfooled", *contest.libraries), count)
    if "tutorial" in counts:
        counts["tutorial"] = max(1, count // FEWER)
    batches = {name: quickest(team, name, task, net, counts[name]) for name in counts}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in counts}
    for repeat in range(rounds(contest, repeats)):
        for name in counts:
            given = (name, task, net, counts[name], batches[name] or 0, repeat)
            outcomes[name].append(team.call(name, workers.attacked, *given))
            print(contest.title, net, name, outcomes[name][-1], file=sys.stderr)
    return {
        name: Entry(name, counts[name], batches[name], tuple(outcomes[name])) for name in counts
    }


def rounds(contest: Contest, repeats: int) -> int:
    """How often the libraries take turns in a contest."""
    return max(1, round(repeats * contest.turns))


def quickest(team: Team, library: str, task: Task, net: str, count: int) -> int | None:
    """The size of part with which a library is quickest, tried with a shorter attack.

    Also its warm-up. None for a library that cuts the images by itself, or has no parts.
    """

    def tried(task: Task, count: int, size: int) -> float:
        return team.call(library, workers.attacked, library, task, net, count, size, 0).seconds

    short = dataclasses.replace(task, budget=max(1, task.budget // 8), eps=task.eps[-1:])
    tried(short, min(count, 10), BATCHES[0])
    if library in ("unfooled", "tutorial"):
        if task.attack != "autoattack":  # which has no budget, and so no shorter form
            tried(short, count, BATCHES[0])
        return None
    # HopSkipJump works on one image at a time; its parts are queries.
    sizes = BATCHES if task.attack == "hopskipjump" else sorted({min(b, count) for b in BATCHES})
    seconds = {size: tried(short, count, size) for size in sizes}
    return min(seconds, key=seconds.__getitem__)


def peers_of(field: Field) -> list[Entry]:
    """The other libraries; the tutorial is none."""
    return [entry for name, entry in field.items() if name not in ("unfooled", "tutorial")]


def fastest(field: Field) -> Entry:
    """The fastest of the other libraries."""
    return min(peers_of(field), key=lambda entry: entry.seconds)


def strongest(field: Field, place: int) -> Entry:
    """That of the other libraries which leaves the least standing, or comes nearest."""
    return min(peers_of(field), key=lambda entry: entry.strength(place))
