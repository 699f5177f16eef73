"""How a worker does a job of a study: from the files that it needs to the bytes of its own."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from unfooled import loading, model, parting, preprocessor, probing, training
from unfooled.certified import Certified, certified
from unfooled.corrupted import corrupted
from unfooled.dataset import Dataset
from unfooled.errors import JobFailed
from unfooled.jobs import CERTIFIED, Job
from unfooled.loading import Loaded
from unfooled.packing import Arrays, packed, stored, unpacked
from unfooled.pictures import pictures
from unfooled.randomness import Draws
from unfooled.recipe import Recipe
from unfooled.study import TOGETHER, Study
from unfooled.sweeping import Sweeping
from unfooled.training import Trained


@dataclass(frozen=True)
class Worker:
    """What a worker process holds while it does a study's jobs, one after the other.

    Attributes:
        study: whose jobs they are.
        folder: of the data files.
        device: where it computes.
        own: the data, if they were handed over by a Python program, or by the driver.
        networks: of a Python program, by their places among the recipes.
        sha256: of the data that the run began with; "" takes whatever is in the folder.
        code: fingerprints of the user's own code that the run began with, by the words for it.
    """

    study: Study
    folder: Path | None
    device: str
    own: Dataset | None = None
    networks: Mapping[int, nn.Module] = field(default_factory=dict)
    sha256: str = ""
    code: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _asked(self) -> Study:
        """The study, when its code was looked at; each process goes on with what it has loaded.

        Raises:
            JobFailed: some of it is not what the run began with.
        """
        for words, known in self.code.items():
            if model.fingerprint(words) != known:
                raise JobFailed(
                    f"{words} on {platform.node()} is not what the run began with; run the command "
                    "again when it is the same everywhere"
                )
        return self.study

    @cached_property
    def data(self) -> Dataset:
        """Read once in each process.

        Raises:
            JobFailed: they are not those that the run began with.
            UnfooledError: as `Study.data`.
        """
        found = self.study.data(self.folder) if self.own is None else self.own
        if self.sha256 not in ("", found.sha256):
            raise JobFailed(
                f"the data in {found.source} on {platform.node()} are not those that the run began "
                "with"
            )
        return found

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
                    channels=data.channels,
                    size=data.size,
                    classes=len(data.classes),
                    weights=Path(asked.weights) if asked.weights else None,
                    mean=asked.mean,
                    std=asked.std,
                )
            self._loaded[recipe] = found
        return self._loaded[recipe]

    def perform(
        self, job: Job, weights: tuple[bytes | None, ...], report: Callable[[float], None]
    ) -> bytes:
        """The bytes of the job's file: safetensors of a training, npz of facts.

        Of all seeds that were trained at once, npz of their safetensors, one after the other.

        Raises:
            JobFailed: the code, the data or the weights are not those that the run began with.
            UnfooledError: as whatever the job does.
        """
        recipe = self._asked.recipes[job.recipe]
        device = torch.device(self.device)
        asked = (self.study.model, self.data, recipe)
        if job.kind == TOGETHER:
            seeds = range(self.study.seeds)
            all_of_them = training.train_together(*asked, seeds, device=device, report=report)
            files = [self._saved(recipe, *one) for one in zip(seeds, all_of_them, strict=True)]
            return stored({str(s): np.frombuffer(files[s], np.uint8) for s in seeds})
        if job.kind == "train" and not job.needs:
            trained = training.train(*asked, job.seed, device=device, report=report)
            return self._saved(recipe, job.seed, trained)
        if job.kind == "load":
            return _head(self.given(job.recipe), self.data)
        whole = [content for content in weights if content is not None]
        if len(whole) < len(weights):
            raise JobFailed("the weights that it works on cannot be read; run the command again")
        if job.kind == "train":
            own = str(job.seed)
            return unpacked(whole[0], own)[own].tobytes()
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
        return packed(self._facts(job, network, others, shown))

    def _saved(self, recipe: Recipe, seed: int, trained: Trained) -> bytes:
        about = {
            "architecture": self.study.model,
            "dataset": self.study.dataset,
            "recipe": recipe.name,
            "seed": seed,
            "history": [asdict(epoch) for epoch in trained.history],
            "overfitted": trained.overfitted,
        }
        return model.save(trained.model, about)

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
            ids = parting.share(split.sample(sweep.images or len(split)), job.part)
            made = Sweeping(network, others, split, ids, data.classes, sweep, job.seed, shown)
            return made.kept() if study.keeps_images else made.facts().arrays()
        if job.kind == "probed":
            ids, draws = split.sample(study.audit.images), Draws(job.seed, "probes")
            told = (network, split, ids, study.threat, others, len(data.classes))
            return probing.probed(*told, draws=draws).arrays()
        if study.corruptions is not None and job.kind == "corrupted":
            asked, draws = study.corruptions, Draws(0, "corruptions")
            ids = parting.share(split.sample(asked.images or len(split)), job.part)
            return corrupted(
                network, split, ids, asked.names, asked.severities, draws=draws
            ).arrays()
        if study.certificates is not None and job.kind == CERTIFIED:
            ids = split.sample(study.certificates.images or len(split))
            ids = parting.share(ids, job.part)
            return certified(network, split, ids, study.certificates).arrays()
        raise ValueError(f"there is no job of the kind {job.kind}")


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
