"""The jobs of a study: what has to be done, in which order, and how a worker does it."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unfooled import (
    __version__,
    attack,
    catalog,
    defence,
    evaluation,
    loading,
    model,
    preprocessor,
    probing,
    targets,
    training,
    transform,
)
from unfooled.attack import Attacked
from unfooled.certified import Certified, certified
from unfooled.corrupted import corrupted
from unfooled.dataset import Dataset, Split
from unfooled.errors import JobFailed
from unfooled.evaluation import Evaluation
from unfooled.gradients import home, predict
from unfooled.loading import Loaded
from unfooled.randomness import Draws
from unfooled.recipe import Recipe
from unfooled.study import Study, Sweep

FORMAT = 3  # of the files in a run's folder
CERTIFIED = "certified"  # the kind of the jobs that show which images stand
_DECIDE = ("torch", "torchvision", "kornia", "scipy", "pillow")  # whose versions decide results

# What bounds of one image cost, in its passes: linear ones, each step of slopes, each branch.
_CROWN, _SLOPE, _PART = 300.0, 50.0, 20.0

Arrays = dict[str, NDArray[Any]]
Seen = Callable[[Evaluation, list[Attacked]], None]


@dataclass(frozen=True)
class Job:
    """One thing to do; equal keys give equal results.

    Attributes:
        kind: "train", or "load" for a network that is there already; then "attack", "corrupted",
            "certified", "probed" or "pictures".
        recipe: index of the recipe.
        seed: of the training.
        sweep: index of the sweep, for an attack.
        key: SHA-256 of all that decides the result.
        needs: the jobs whose networks it works with: first the one that it is about, then those
            that an attack crafts on, and last the certificates of images that it may spare; none
            for a training.
        cost: roughly how long it takes, in passes of one image through the network.
    """

    kind: str
    recipe: int
    seed: int
    sweep: int
    key: str
    needs: "tuple[Job, ...]"
    cost: float

    @property
    def depth(self) -> int:
        """How many jobs have to be done before it, one after the other."""
        return max((1 + one.depth for one in self.needs), default=0)

    def name(self, study: Study) -> str:
        """Unique within a study."""
        return study.job_name(self.kind, self.recipe, self.seed, self.sweep)


def jobs(study: Study, data: Dataset, device: str) -> list[Job]:
    """All jobs of a study: the trainings, longest first, then what is done with the networks."""
    found: list[Job] = []
    base = {
        "format": FORMAT,
        "unfooled": __version__,
        "packages": [version(name) for name in _DECIDE],
        "device": device,
        "data": data.sha256,
        "model": [] if study.given else [study.model, model.fingerprint(study.model)],
    }
    plain = study.plain()
    trainings = _trainings(study, data, base)
    judged = {job.key: _judged(study, plain, job) for job in trainings.values()}
    measured = _others(study, data)
    for (index, seed), train in trainings.items():
        found.append(train)
        others = tuple(
            job for (other, at), job in trainings.items() if at == seed and other != index
        )
        shown: tuple[Job, ...] = ()
        for kind, what, cost in measured:
            key = _key({"train": judged[train.key], kind: what, "split": study.split})
            found.append(Job(kind, index, seed, 0, key, (train,), cost))
            shown = (found[-1],) if kind == CERTIFIED else shown
        for place, sweep in enumerate(study.sweeps):
            networks = (train, *others) if sweep.uses_surrogates else (train,)
            spare = shown if study.certificates and study.certificates.spares(sweep) else ()
            met = [judged[job.key] for job in networks]
            own = [plain["sweeps"][place], _fingerprints(sweep.attack, sweep.options)]
            what = {"train": met, "sweep": own, "split": study.split}
            what |= {"spared": [job.key for job in spare]} if spare else {}
            cost = _attack_cost(sweep, len(data.split(study.split)), len(data.classes))
            job = Job("attack", index, seed, place, _key(what), (*networks, *spare), cost)
            found.append(job)
        beside = _surrogate(trainings, index, seed)
        met = [judged[job.key] for job in (train, *beside)]
        asked = [plain["audit"], study.threat.norm, study.threat.eps]
        key = _key({"train": met, "probed": asked, "split": study.split})
        cost = float(probing.COST * min(study.audit.images, len(data.split(study.split))))
        found.append(Job("probed", index, seed, 0, key, (train, *beside), cost))
        if seed == 0:
            one = study.sweeps[0]
            first = [plain["sweeps"][0], _fingerprints(one.attack, one.options)]
            key = _key({"train": judged[train.key], "pictures": first, "split": study.split})
            found.append(Job("pictures", index, seed, 0, key, (train,), 100.0))
    return sorted(found, key=lambda job: (job.depth, -job.cost))


def _surrogate(trainings: Mapping[tuple[int, int], Job], recipe: int, seed: int) -> tuple[Job, ...]:
    """The training whose network the probes craft on: the baseline's, and for it the next one."""
    other = trainings.get((0 if recipe else 1, seed))
    return () if other is None else (other,)


def _fingerprints(name: str, options: Mapping[str, Any]) -> list[str]:
    """Of a member, and of the user's own that its options name, such as an attack to train with."""
    own = [value for value in options.values() if isinstance(value, str) and ":" in value]
    return [catalog.fingerprint(one) for one in (name, *own)]


def _judged(study: Study, plain: Mapping[str, Any], train: Job) -> list[Any]:
    """All that decides which network is judged: a training, and what stands before it."""
    before = study.recipes[train.recipe].input
    own = [_fingerprints(name, options) for name, options in before]
    return [train.key, plain["recipes"][train.recipe]["input"], own]


def _others(study: Study, data: Dataset) -> list[tuple[str, Any, float]]:
    """What is measured of each network besides attacks: the kind, what decides it, its cost."""
    plain, found = study.plain(), list[tuple[str, Any, float]]()
    n = len(data.split(study.split))
    if study.corruptions is not None:
        own = [catalog.fingerprint(name) for name in study.corruptions.names]
        passes = len(study.corruptions.names) * len(study.corruptions.severities)
        images = min(study.corruptions.images or n, n)
        found.append(("corrupted", [plain["corruptions"], own], 3.0 * passes * images))
    if study.certificates is not None:
        images = min(study.certificates.images or n, n)
        one = _CROWN + _SLOPE * study.certificates.slopes + _PART * study.certificates.branches
        cost = one * images * len(study.certificates.eps)
        found.append((CERTIFIED, plain["certificates"], cost))
    return found


def _trainings(study: Study, data: Dataset, base: dict[str, Any]) -> dict[tuple[int, int], Job]:
    """The training of each recipe with each seed, or the loading of each given network."""
    plain = study.plain()
    found = {}
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
        cost = _training_cost(recipe, data)
        for seed in range(study.seeds):
            key = _key({**base, "recipe": what, "seed": seed})
            found[index, seed] = Job("train", index, seed, 0, key, (), cost)
    return found


@dataclass(frozen=True)
class Worker:
    """What a worker process holds while it does a study's jobs, one after the other.

    Attributes:
        study: whose jobs they are.
        folder: of the data files.
        device: where it computes.
        own: the data, if a Python program handed them over.
        networks: likewise, by their places among the recipes.
    """

    study: Study
    folder: Path | None
    device: str
    own: Dataset | None = None
    networks: Mapping[int, nn.Module] = field(default_factory=dict)

    @cached_property
    def data(self) -> Dataset:
        """Read once in each process."""
        return self.study.data(self.folder) if self.own is None else self.own

    @cached_property
    def _loaded(self) -> dict[int, Loaded]:
        return {}

    def given(self, recipe: int) -> Loaded:
        """A network that is there already; read once in each process.

        Raises:
            JobFailed: its files are no longer those that the run began with.
            UnfooledError: as `loading.load`.
        """
        if recipe not in self._loaded:
            asked, data = self.study.recipes[recipe].given, self.data
            shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
            if recipe in self.networks:
                found = loading.handed(
                    self.networks[recipe], self.study.recipes[recipe].title, **shape
                )
            elif asked is not None:
                if loading.given(asked.which, asked.weights, asked.mean, asked.std) != asked:
                    raise JobFailed(
                        f"{asked.weights or asked.which} was changed after the run had begun; run "
                        "the command again"
                    )
                found = loading.load(
                    asked.which,
                    **shape,
                    weights=Path(asked.weights) if asked.weights else None,
                    mean=asked.mean,
                    std=asked.std,
                )
            self._loaded[recipe] = found
        return self._loaded[recipe]

    def perform(
        self, job: Job, weights: tuple[bytes | None, ...], report: Callable[[float], None]
    ) -> bytes:
        """The bytes of the job's file: safetensors of a training, npz of facts."""
        recipe = self.study.recipes[job.recipe]
        device = torch.device(self.device)
        if job.kind == "train":
            trained = training.train(
                self.study.model, self.data, recipe, job.seed, device=device, report=report
            )
            about = {
                "architecture": self.study.model,
                "dataset": self.study.dataset,
                "recipe": recipe.name,
                "seed": job.seed,
                "history": [asdict(epoch) for epoch in trained.history],
                "overfitted": trained.overfitted,
            }
            return model.save(trained.model, about)
        if job.kind == "load":
            return _head(self.given(job.recipe), self.data)
        whole = [content for content in weights if content is not None]
        if len(whole) < len(weights):
            raise JobFailed("the weights that it works on cannot be read; run the command again")
        pairs = list(zip(job.needs, whole, strict=True))
        network, *others = [
            self.judged(one.recipe, content).to(device)
            for one, content in pairs
            if one.kind in ("train", "load")
        ]
        shown = [
            Certified.of_arrays(unpacked(content))
            for one, content in pairs
            if one.kind == CERTIFIED
        ]
        return _packed(self._facts(job, network, others, shown))

    def judged(self, recipe: int, content: bytes) -> nn.Module:
        """The network of a recipe, behind the recipe's preprocessors.

        Raises:
            InvalidData, InvalidModel: as `model.restored`.
        """
        if self.study.given:
            return self.given(recipe).network
        data, before = self.data, self.study.recipes[recipe].input
        shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
        network = model.restored(content, self.study.model, **shape)
        if not before:
            return network
        found = [preprocessor.find(name, **options) for name, options in before]
        return preprocessor.defended(network, found).eval()

    def _facts(
        self,
        job: Job,
        network: nn.Module,
        others: Sequence[nn.Module],
        shown: Sequence[Certified],
    ) -> Arrays:
        study, data = self.study, self.data
        split, sweep = data.split(study.split), study.sweeps[job.sweep]
        if job.kind == "pictures":
            return pictures(network, split, sweep)
        if job.kind == "attack":
            kept: list[NDArray[np.float32]] = []
            keep = partial(_fooling, kept) if study.keeps_images else _nothing
            spared = _spared(shown, sweep)
            facts = attacked(network, others, split, data.classes, sweep, job.seed, spared, keep)
            if not kept:
                return facts.arrays()
            images = np.zeros((*facts.read_as.shape, *kept[0].shape[2:]), np.float32)
            images[:, ~np.isin(facts.ids, spared)] = np.concatenate(kept, axis=1)
            return {**facts.arrays(), "adversarial": images}
        if job.kind == "probed":
            ids, draws = split.sample(study.audit.images), Draws(job.seed, "probes")
            told = (network, split, ids, study.threat, others, len(data.classes))
            return probing.probed(*told, draws=draws).arrays()
        if study.corruptions is not None and job.kind == "corrupted":
            asked, draws = study.corruptions, Draws(0, "corruptions")
            ids = split.sample(asked.images or len(split))
            return corrupted(
                network, split, ids, asked.names, asked.severities, draws=draws
            ).arrays()
        if study.certificates is not None and job.kind == CERTIFIED:
            ids = split.sample(study.certificates.images or len(split))
            return certified(network, split, ids, study.certificates).arrays()
        raise ValueError(f"there is no job of the kind {job.kind}")


def attacked(
    network: nn.Module,
    others: Sequence[nn.Module],
    split: Split,
    classes: Sequence[str],
    sweep: Sweep,
    seed: int,
    spared: NDArray[np.int64],
    seen: Seen,
) -> Evaluation:
    """The facts of one sweep on one network; `others` are those of the other recipes.

    Args:
        spared: ids of images that are shown to stand, so that no attack on them is made.
        seen: as in `evaluation.evaluate_split`.
    """
    ids = split.sample(sweep.images or len(split))
    draws = Draws(seed, f"attack/{sweep.attack}", ids)
    aims = None
    if sweep.targets:
        device = home(network)
        images, labels = split.pixels(ids).to(device), split.labels[ids].to(device)
        rows, aims = targets.find(sweep.targets, tuple(classes))(network, images, labels, draws)
        ids, aims = ids[rows.cpu()], aims.cpu()
    armed, threats = sweep.armed(others), sweep.threats
    free = torch.isin(ids, torch.from_numpy(spared))
    parts = []
    if free.any():
        parts.append(evaluation.untouched(network, split, ids[free], armed, threats))
    if not free.all():
        aims = None if aims is None else aims[~free]
        facts = evaluation.evaluate_split(
            network, split, ids[~free], armed, threats, draws=draws, targets=aims, seen=seen
        )
        parts.append(facts)
    return parts[0] if len(parts) == 1 else evaluation.merged(parts)


def _spared(shown: Sequence[Certified], sweep: Sweep) -> NDArray[np.int64]:
    """The ids of the images that are shown to stand against all of a sweep."""
    found = [one.ids[one.within(sweep.eps[-1])] for one in shown]
    return np.concatenate([np.empty(0, np.int64), *found])


def _nothing(_: Evaluation, __: list[Attacked]) -> None:
    """Of a study that keeps no images."""


def _fooling(kept: list[NDArray[np.float32]], facts: Evaluation, found: list[Attacked]) -> None:
    """Add the images that fool; all others are black, which takes no room in a file."""
    for_file = np.stack([one.images.float().cpu().numpy() for one in found])
    for_file[~facts.won] = 0
    kept.append(for_file)


def pictures(network: nn.Module, split: Split, sweep: Sweep) -> Arrays:
    """One image of each class before and after the attack, and a look inside the network.

    Returns:
        ids and labels `[k]`; images as bytes `[1 + t, k, c, h, w]`, the first row without attack;
        read_as `[1 + t, k]`; filters of the first convolution `[f, c, h, w]` and its activations
        on the last image `[f, h, w]`, empty for a network without convolutions.
    """
    device = home(network)
    # Of a class that no image shows there is no picture.
    every = split.labels.unique()
    ids = torch.stack([torch.nonzero(split.labels == label)[0, 0] for label in every])
    images, labels = split.pixels(ids).to(device), split.labels[ids].to(device)
    found = sweep.armed([network]).sweep(
        network, images, labels, sweep.threats, draws=Draws(0, "pictures", ids)
    )
    rows = torch.stack([images, *(one.images for one in found)])
    reads = [evaluation.read(predict(network, row)) for row in rows]
    filters, maps = model.first_features(network, images[-1:])
    return {
        "ids": ids.numpy(),
        "labels": labels.cpu().numpy(),
        "images": rows.mul(255).round().to(torch.uint8).cpu().numpy(),
        "read_as": np.stack(reads),
        "filters": filters.cpu().numpy(),
        "maps": maps.cpu().numpy(),
    }


def _head(loaded: Loaded, data: Dataset) -> bytes:
    """What is known of a network that is there already, as the head of a weights file has it."""
    network = loaded.network
    try:
        told = [
            asdict(one) for one in model.layers(network, channels=data.channels, size=data.size)
        ]
    except Exception:  # whatever a user's network makes of hooks; its layers are only told about
        told = []
    about = {
        "which": loaded.name,
        "sha256": loaded.sha256,
        "knows": loaded.knows,
        "notes": loaded.notes,
        "parameters": sum(one.numel() for one in network.parameters()),
        "layers": told,
        "history": [],
        "overfitted": False,
    }
    return json.dumps(about, indent=2).encode()


def head(content: bytes) -> dict[str, Any]:
    """What the file of a training or of a loading tells about its network.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    return dict(json.loads(content)) if content.startswith(b"{") else model.about(content)


def unpacked(content: bytes) -> Arrays:
    """The arrays of a facts file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type] # none is `allow_pickle`
    return buffer.getvalue()


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
    return float(min(sweep.images or images, images) * each * len(sweep.eps) * (1 + found.cost))
