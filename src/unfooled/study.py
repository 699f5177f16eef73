"""What a study is: a question, and everything that decides its answer.

The way of the data: Study -> jobs (`jobs.py`) -> facts, one file a job (`store.py`) -> statistics
-> results (`results.py`) -> `reports/`.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from unfooled import attack, dataset
from unfooled.attack import Attack
from unfooled.dataset import Dataset
from unfooled.recipe import Recipe
from unfooled.threat import Threat

TOGETHER = "together"  # the kind of the jobs that train all seeds of a recipe at once


@dataclass(frozen=True)
class Sweep:
    """One attack over several eps.

    Attributes:
        attack: a name in `attacks/`.
        options: of that attack.
        norm: of every threat.
        eps: ascending, in pixel units.
        images: how many test images, drawn once and for all; None takes every one.
        called: what reports call it, if not what the attack is called; see `title`.
        targets: how each image's target is chosen, as `targets.find` takes it; "" for any wrong
            class (misclassification).
    """

    attack: str
    options: Mapping[str, Any]
    norm: str
    eps: tuple[float, ...]
    images: int | None = None
    called: str = ""
    targets: str = ""

    @property
    def title(self) -> str:
        """Such as "PGD-40"; with the norm, unique within a study."""
        aim = f" to {self.targets.replace('_', ' ')}" if self.targets else ""
        return self.called or attack.find(self.attack, **self.options).title + aim

    @property
    def uses_surrogates(self) -> bool:
        """Whether it crafts on the networks of the other recipes."""
        return "surrogates" in attack.find(self.attack, **self.options).all_options

    def armed(self, surrogates: Sequence[nn.Module]) -> Attack:
        """The attack, with the networks of the other recipes if it asks for such."""
        own = {"surrogates": surrogates} if self.uses_surrogates else {}
        return attack.find(self.attack, **self.options, **own)

    @property
    def threats(self) -> list[Threat]:
        """One for each eps above 0, which is no attack."""
        return [Threat(self.norm, eps) for eps in self.eps if eps > 0]


@dataclass(frozen=True)
class Corruptions:
    """How the networks are tried on images that chance, not an attacker, made worse.

    Attributes:
        names: in `corruptions/`.
        severities: 1 to 5.
        images: how many test images, drawn once and for all; None takes every one.
    """

    names: tuple[str, ...]
    severities: tuple[int, ...]
    images: int | None = None


@dataclass(frozen=True)
class Certificates:
    """How many images are shown to stand, and how many fall, by bounds.

    Attributes:
        norm: "Linf" or "L2".
        eps: ascending.
        images: how many test images, drawn once and for all; None takes every one.
        slopes, branches: of `bounds.examined`, for what the quicker bounds leave open.
    """

    eps: tuple[float, ...]
    images: int | None = None
    slopes: int = 0
    branches: int = 0
    norm: str = "Linf"

    def spares(self, sweep: Sweep) -> bool:
        """Whether an attack need not be made at an eps at which an image is shown to stand."""
        return self.norm == sweep.norm and not sweep.targets


@dataclass(frozen=True)
class Audit:
    """How the networks are probed for numbers that are too high.

    Attributes:
        images: how many test images, drawn once and for all; the probes' time grows with them.
    """

    images: int = 100


@dataclass(frozen=True)
class Dose:
    """One number of a recipe at several values.

    Attributes:
        title, unit: as a figure prints them.
        values: ascending, above 0, which is the baseline.
        recipes: the names of the recipes, one a value.
    """

    title: str
    unit: str
    values: tuple[float, ...]
    recipes: tuple[str, ...]


@dataclass(frozen=True)
class Bundle:
    """Several transformations together, and the same without each of them.

    Attributes:
        whole: the name of the recipe with all.
        left_out: transformations, one by one.
        recipes: the names of the recipes without them.
    """

    whole: str
    left_out: tuple[str, ...]
    recipes: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """What is asked, and everything that decides the answer.

    Attributes:
        name: of the run's folder.
        question: as the report prints it.
        dataset, model: names in `datasets/` and `models/`.
        dataset_options: such as the size that an image folder is brought to.
        seeds: each recipe is trained with the seeds 0 to seeds - 1.
        answer_eps: the eps at which the question is answered, chosen before the run.
        margin: the largest difference that nobody would care about.
        recipes: the first is the baseline that the others are compared with.
        sweeps: the attacks.
        split: the images that are attacked: "test", or "validation" for whoever is still choosing.
        corruptions, certificates: what else is measured; None for nothing.
        doses, bundles: which recipes belong together.
        keeps_images: whether the images that fool are kept beside the facts, for `unfooled verify`.
        audit: how it is looked for numbers that are too high.
    """

    name: str
    question: str
    dataset: str
    model: str
    seeds: int
    answer_eps: float
    margin: float
    recipes: tuple[Recipe, ...]
    sweeps: tuple[Sweep, ...]
    split: str = "test"
    corruptions: Corruptions | None = None
    certificates: Certificates | None = None
    doses: tuple[Dose, ...] = ()
    bundles: tuple[Bundle, ...] = ()
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    keeps_images: bool = False
    audit: Audit = Audit()

    @property
    def given(self) -> bool:
        """Whether it is about networks that are there already, each with seed 0."""
        return self.recipes[0].given is not None

    @property
    def threat(self) -> Threat:
        """That under which the question is answered: of the first attack that has its eps."""
        untargeted = (sweep for sweep in self.sweeps if not sweep.targets)
        norm = next(sweep.norm for sweep in untargeted if self.answer_eps in sweep.eps)
        return Threat(norm, self.answer_eps)

    def data(self, folder: Path | None) -> Dataset:
        """The data set, as `dataset.find` gives it and refuses it."""
        return dataset.find(self.dataset, folder=folder, **self.dataset_options)

    def job_name(self, kind: str, recipe: int, seed: int, sweep: int = 0) -> str:
        """Such as "plain-0" for a training and "plain-0-1-pgd-Linf" for its second attack.

        "plain-together" is the training of all its seeds at once.
        """
        trained = f"{self.recipes[recipe].name}-{seed}"
        if kind == "attack":
            used = self.sweeps[sweep]
            return f"{trained}-{sweep}-{used.attack.rpartition(':')[2]}-{used.norm}"
        if kind == TOGETHER:
            return f"{self.recipes[recipe].name}-{kind}"
        return trained if kind in ("train", "load") else f"{trained}-{kind}"

    def plain(self) -> dict[str, Any]:
        """Everything as JSON would have it."""
        return json.loads(json.dumps(dataclasses.asdict(self), default=dict))  # type: ignore[no-any-return]
