"""The jobs of a study: what has to be done, and in which order."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from typing import Any

from unfooled import (
    __version__,
    attack,
    catalog,
    defence,
    model,
    parting,
    pictures,
    probing,
    targets,
    training,
    transform,
)
from unfooled.dataset import Dataset
from unfooled.parting import WHOLE, Part
from unfooled.probed import Probed
from unfooled.recipe import Recipe
from unfooled.study import TOGETHER, Study, Sweep

FORMAT = 3  # of the files in a run's folder
_TRAINS = ("train", "load", TOGETHER)  # kinds of jobs that others wait for
CERTIFIED = "certified"  # the kind of the jobs that show which images stand
_DECIDE = ("torch", "torchvision", "kornia", "scipy", "pillow")  # whose versions decide results

# What bounds of one image cost, in its passes: linear ones, each step of slopes, each branch.
_CROWN, _SLOPE, _PART = 300.0, 50.0, 20.0


@dataclass(frozen=True)
class Job:
    """One thing to do; equal keys give equal results.

    Attributes:
        kind: "train", or "load" for a network that is there already; "together" for the training of
            all seeds at once, of which "train" then takes one; then "attack", "corrupted",
            "certified", "probed" or "pictures".
        recipe: index of the recipe.
        seed: of the training.
        sweep: index of the sweep, for an attack.
        key: SHA-256 of all that decides the result.
        needs: the jobs whose networks it works with: first the one that it is about, then those
            that an attack crafts on, and last the certificates of images that it may spare; none
            for a training, but for a seed that was trained with others.
        cost: roughly how long it takes, in passes of one image through the network.
        part: of its images; see `parting`.
    """

    kind: str
    recipe: int
    seed: int
    sweep: int
    key: str
    needs: "tuple[Job, ...]"
    cost: float
    part: Part = WHOLE

    @property
    def depth(self) -> int:
        """How many jobs have to be done before it, one after the other."""
        return max((1 + one.depth for one in self.needs), default=0)

    def name(self, study: Study) -> str:
        """Unique within a study."""
        own = study.job_name(self.kind, self.recipe, self.seed, self.sweep)
        return parting.name(own, self.part)


def versions() -> dict[str, str]:
    """Of all packages that decide results, on this machine."""
    return {"unfooled": __version__, **{name: version(name) for name in _DECIDE}}


def jobs(study: Study, data: Dataset, device: str, *, together: bool = False) -> list[Job]:
    """All jobs of a study: the trainings, longest first, then what is done with the networks.

    Args:
        study: whose jobs they are.
        data: that it works on.
        device: "cpu" or "cuda", where each of them computes.
        together: all seeds of a recipe are trained at once, where that can be.
    """
    found: list[Job] = []
    made = maker(data, device)
    base = {
        "format": FORMAT,
        "unfooled": made["unfooled"],
        "packages": [made[name] for name in _DECIDE],
        "device": device,
        "data": made["data"],
        "model": [] if study.given else [study.model, model.fingerprint(study.model)],
    }
    plain = study.plain()
    trainings = _trainings(study, data, base, together=together)
    found += dict.fromkeys(one for train in trainings.values() for one in train.needs)
    judged = {job.key: _judged(study, plain, job) for job in trainings.values()}
    measured, n = _others(study, data), len(data.split(study.split))
    attacks = _attacks(study, data)
    of_seed: dict[int, list[Job]] = {}
    for (_, seed), train in trainings.items():
        of_seed.setdefault(seed, []).append(train)
    for (index, seed), train in trainings.items():
        found.append(train)
        others = tuple(job for job in of_seed[seed] if job.recipe != index)
        shown: tuple[Job, ...] = ()
        for kind, what, images, cost in measured:
            decides = {"train": judged[train.key], kind: what, "split": study.split}
            own = _parted(Job(kind, index, seed, 0, "", (train,), cost), decides, images)
            found += own
            shown = tuple(own) if kind == CERTIFIED else shown
        for place, (crafts_on_others, spares, what, images, cost) in enumerate(attacks):
            networks = (train, *others) if crafts_on_others else (train,)
            spare = shown if spares else ()
            met = [judged[job.key] for job in networks]
            decides = {"train": met, "sweep": what, "split": study.split}
            decides |= {"spared": [job.key for job in spare]} if spare else {}
            job = Job("attack", index, seed, place, "", (*networks, *spare), cost)
            found += _parted(job, decides, images)
        beside = _surrogate(trainings, index, seed)
        met = [judged[job.key] for job in (train, *beside)]
        form = [field.name for field in fields(Probed)]
        asked = [form, plain["audit"], study.threat.norm, study.threat.eps]
        key = _key({"train": met, "probed": asked, "split": study.split})
        cost = float(probing.COST * min(study.audit.images, n))
        found.append(Job("probed", index, seed, 0, key, (train, *beside), cost))
        if seed == 0:
            one = study.sweeps[0]
            first = [plain["sweeps"][0], _fingerprints(one.attack, one.options)]
            first += [pictures.COUNT, pictures.STEPS]
            key = _key({"train": judged[train.key], "pictures": first, "split": study.split})
            found.append(Job("pictures", index, seed, 0, key, (train,), 100.0))
    return sorted(found, key=lambda job: (job.kind not in _TRAINS, job.depth, -job.cost))


def maker(data: Dataset, device: str) -> dict[str, str]:
    """What decides the result of every job, by name; the keys are made of it too."""
    return {**versions(), "format": str(FORMAT), "device": device, "data": data.sha256}


def _parted(job: Job, decides: Mapping[str, Any], images: int) -> list[Job]:
    """A job on so many images as one, or as several of which each is about some of them."""
    return [
        replace(
            job,
            key=_key(decides if part == WHOLE else {**decides, "part": part}),
            cost=job.cost / part[1],
            part=part,
        )
        for part in parting.parts(images, job.cost)
    ]


def _surrogate(trainings: Mapping[tuple[int, int], Job], recipe: int, seed: int) -> tuple[Job, ...]:
    """The training whose network the probes craft on: the baseline's, and for it the next one."""
    other = trainings.get((0 if recipe else 1, seed))
    return () if other is None else (other,)


def own_code(study: Study) -> dict[str, str]:
    """The fingerprints of the code of the user's own that decides results, by the words for it."""
    members = [(sweep.attack, sweep.options) for sweep in study.sweeps]
    for recipe in study.recipes:
        members += [recipe.defence, *recipe.transforms, *recipe.input]
    words = [one for name, options in members for one in _words(name, options)]
    words += study.corruptions.names if study.corruptions else ()
    words += [] if study.given else [study.model]
    return {one: model.fingerprint(one) for one in words if ":" in one}


def _words(name: str, options: Mapping[str, Any]) -> list[str]:
    """A member, and the user's own that its options name, such as an attack to train with."""
    return [name, *(one for one in options.values() if isinstance(one, str) and ":" in one)]


def _fingerprints(name: str, options: Mapping[str, Any]) -> list[str]:
    return [catalog.fingerprint(one) for one in _words(name, options)]


def _judged(study: Study, plain: Mapping[str, Any], train: Job) -> list[Any]:
    """All that decides which network is judged: a training, and what stands before it."""
    before = study.recipes[train.recipe].input
    own = [_fingerprints(name, options) for name, options in before]
    return [train.key, plain["recipes"][train.recipe]["input"], own]


def _others(study: Study, data: Dataset) -> list[tuple[str, Any, int, float]]:
    """What is measured of each network besides attacks: kind, what decides it, images, cost."""
    plain, found = study.plain(), list[tuple[str, Any, int, float]]()
    n = len(data.split(study.split))
    if study.corruptions is not None:
        own = [catalog.fingerprint(name) for name in study.corruptions.names]
        passes = len(study.corruptions.names) * len(study.corruptions.severities)
        images = min(study.corruptions.images or n, n)
        found.append(("corrupted", [plain["corruptions"], own], images, 3.0 * passes * images))
    if study.certificates is not None:
        images = min(study.certificates.images or n, n)
        one = _CROWN + _SLOPE * study.certificates.slopes + _PART * study.certificates.branches
        cost = one * images * len(study.certificates.eps)
        found.append((CERTIFIED, plain["certificates"], images, cost))
    return found


def _attacks(study: Study, data: Dataset) -> list[tuple[bool, bool, Any, int, float]]:
    """Of each sweep: whether it crafts on others and spares, what decides it, images, cost."""
    plain, n, proven = study.plain()["sweeps"], len(data.split(study.split)), study.certificates
    found = list[tuple[bool, bool, Any, int, float]]()
    for place, sweep in enumerate(study.sweeps):
        what = [plain[place], _fingerprints(sweep.attack, sweep.options)]
        spares = proven is not None and proven.spares(sweep)
        images = min(sweep.images or n, n)
        cost = _attack_cost(sweep, images, len(data.classes))
        # All images of a part may be of the class that they shall be read as.
        parted = images if sweep.targets in ("", *targets.names()) else 1
        found.append((sweep.uses_surrogates, spares, what, parted, cost))
    return found


def _trainings(
    study: Study, data: Dataset, base: dict[str, Any], *, together: bool
) -> dict[tuple[int, int], Job]:
    """The training of each recipe with each seed, or the loading of each given network."""
    plain = study.plain()
    found = {}
    together = together and not study.given and study.seeds > 1
    together = together and training.together_fits(study.model, data)
    for index, recipe in enumerate(study.recipes):
        if recipe.given is not None:
            key = _key({**base, "name": recipe.name, "given": plain["recipes"][index]["given"]})
            found[index, 0] = Job("load", index, 0, 0, key, (), 1.0)
            continue
        members = [recipe.defence, *recipe.transforms]
        what = {
            key: plain["recipes"][index][key] for key in ("name", "transforms", "defence", "plan")
        }
        what["own"] = [_fingerprints(name, options) for name, options in members]
        decides, cost = {**base, "recipe": what}, _training_cost(recipe, data)
        needs: tuple[Job, ...] = ()
        if together and training.teaches_together(recipe):
            decides |= {TOGETHER: study.seeds}
            needs = (Job(TOGETHER, index, 0, 0, _key(decides), (), study.seeds * cost),)
            cost = 1.0
        for seed in range(study.seeds):
            key = _key({**decides, "seed": seed})
            found[index, seed] = Job("train", index, seed, 0, key, needs, cost)
    return found


def _key(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _training_cost(recipe: Recipe, data: Dataset) -> float:
    # A defence that attacks each batch passes it through the network once more for each step; a
    # batch with two labels, and one that the weights are moved for, are learned from twice.
    passes = 1 + defence.find(recipe.defence[0], **recipe.defence[1]).passes
    shape = {"channels": data.channels, "size": data.size}
    changes = [transform.find(name, options, **shape) for name, options in recipe.transforms]
    times = (1 + (transform.mixing(changes) is not None)) * (
        1 + bool(recipe.plan.weight_perturbation)
    )
    return 3.0 * passes * times * recipe.plan.epochs * len(data.train)


def _attack_cost(sweep: Sweep, images: int, classes: int) -> float:
    found = attack.find(sweep.attack, **sweep.options)
    each = classes - 1 if sweep.targets == "every" else 1
    return float(images * each * len(sweep.eps) * (1 + found.cost))
