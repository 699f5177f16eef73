"""The jobs of a study: what has to be done, in which order, and how a worker does it."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    model,
    preprocessor,
    targets,
    training,
    transform,
)
from unfooled.certified import certified
from unfooled.corrupted import corrupted
from unfooled.dataset import Dataset, Split
from unfooled.errors import JobFailed
from unfooled.evaluation import Evaluation
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.recipe import Recipe
from unfooled.study import Study, Sweep

FORMAT = 3  # of the files in a run's folder
_DECIDE = ("torch", "torchvision", "kornia", "scipy", "pillow")  # whose versions decide results

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Job:
    """One thing to do; equal keys give equal results.

    Attributes:
        kind: "train", "attack", "corrupted", "certified" or "pictures".
        recipe: index of the recipe.
        seed: of the training.
        sweep: index of the sweep, for an attack.
        key: SHA-256 of all that decides the result.
        needs: the trainings whose networks it works with: first the one that it is about, then
            those that an attack crafts on; none for a training.
        cost: roughly how long it takes, in passes of one image through the network.
    """

    kind: str
    recipe: int
    seed: int
    sweep: int
    key: str
    needs: "tuple[Job, ...]"
    cost: float

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
        "model": [study.model, model.fingerprint(study.model)],
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
        for place, sweep in enumerate(study.sweeps):
            needs = (train, *others) if sweep.uses_surrogates else (train,)
            met = [judged[job.key] for job in needs]
            own = [plain["sweeps"][place], _fingerprints(sweep.attack, sweep.options)]
            key = _key({"train": met, "sweep": own, "split": study.split})
            cost = _attack_cost(sweep, len(data.split(study.split)), len(data.classes))
            found.append(Job("attack", index, seed, place, key, needs, cost))
        for kind, what, cost in measured:
            key = _key({"train": judged[train.key], kind: what, "split": study.split})
            found.append(Job(kind, index, seed, 0, key, (train,), cost))
        if seed == 0:
            one = study.sweeps[0]
            first = [plain["sweeps"][0], _fingerprints(one.attack, one.options)]
            key = _key({"train": judged[train.key], "pictures": first, "split": study.split})
            found.append(Job("pictures", index, seed, 0, key, (train,), 100.0))
    return sorted(found, key=lambda job: (bool(job.needs), -job.cost))


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
        found.append(("certified", plain["certificates"], 10.0 * images))
    return found


def _trainings(study: Study, data: Dataset, base: dict[str, Any]) -> dict[tuple[int, int], Job]:
    """The training of each recipe with each seed."""
    plain = study.plain()
    found = {}
    for index, recipe in enumerate(study.recipes):
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
    """What a worker process holds while it does a study's jobs, one after the other."""

    study: Study
    folder: Path | None
    device: str

    @cached_property
    def data(self) -> Dataset:
        """Read once in each process."""
        return self.study.data(self.folder)

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
                "history": [dataclasses.asdict(epoch) for epoch in trained.history],
                "overfitted": trained.overfitted,
            }
            return model.save(trained.model, about)
        whole = [content for content in weights if content is not None]
        if len(whole) < len(weights):
            raise JobFailed("the weights that it works on cannot be read; run the command again")
        network, *others = [
            self.judged(one.recipe, content).to(device)
            for one, content in zip(job.needs, whole, strict=True)
        ]
        return _packed(self._facts(job, network, others))

    def judged(self, recipe: int, content: bytes) -> nn.Module:
        """The network of a recipe, behind the recipe's preprocessors.

        Raises:
            InvalidData, InvalidModel: as `model.restored`.
        """
        data, before = self.data, self.study.recipes[recipe].input
        shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
        network = model.restored(content, self.study.model, **shape)
        if not before:
            return network
        found = [preprocessor.find(name, **options) for name, options in before]
        return preprocessor.defended(network, found).eval()

    def _facts(self, job: Job, network: nn.Module, others: Sequence[nn.Module]) -> Arrays:
        study, data = self.study, self.data
        split, sweep = data.split(study.split), study.sweeps[job.sweep]
        if job.kind == "pictures":
            return pictures(network, split, sweep)
        if job.kind == "attack":
            return attacked(network, others, split, data.classes, sweep, job.seed).arrays()
        if study.corruptions is not None and job.kind == "corrupted":
            asked, draws = study.corruptions, Draws(0, "corruptions")
            ids = split.sample(asked.images or len(split))
            return corrupted(
                network, split, ids, asked.names, asked.severities, draws=draws
            ).arrays()
        if study.certificates is not None and job.kind == "certified":
            ids = split.sample(study.certificates.images or len(split))
            return certified(network, split, ids, study.certificates.eps).arrays()
        raise ValueError(f"there is no job of the kind {job.kind}")


def attacked(
    network: nn.Module,
    others: Sequence[nn.Module],
    split: Split,
    classes: Sequence[str],
    sweep: Sweep,
    seed: int,
) -> Evaluation:
    """The facts of one sweep on one network; `others` are those of the other recipes."""
    ids = split.sample(sweep.images or len(split))
    draws = Draws(seed, f"attack/{sweep.attack}", ids)
    aims = None
    if sweep.targets:
        device = next(network.parameters()).device
        images, labels = split.pixels(ids).to(device), split.labels[ids].to(device)
        rows, aims = targets.find(sweep.targets, tuple(classes))(network, images, labels, draws)
        ids, aims = ids[rows.cpu()], aims.cpu()
    return evaluation.evaluate_split(
        network, split, ids, sweep.armed(others), sweep.threats, draws=draws, targets=aims
    )


def pictures(network: nn.Module, split: Split, sweep: Sweep) -> Arrays:
    """One image of each class before and after the attack, and a look inside the network.

    Returns:
        ids and labels `[k]`; images as bytes `[1 + t, k, c, h, w]`, the first row without attack;
        read_as `[1 + t, k]`; filters of the first convolution `[f, c, h, w]` and its activations
        on the last image `[f, h, w]`, empty for a network without convolutions.
    """
    device = next(network.parameters()).device
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
