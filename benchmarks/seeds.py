"""The seeds of a recipe as jobs of `engines/local`: one for each, or one for all as one network.

Seed s starts from the same weights and meets the images in the same order both ways.
"""

import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from unfooled import dataset, training
from unfooled.dataset import Dataset
from unfooled.engine import Done, Failed, Means
from unfooled.engines.local import local
from unfooled.jobs import Job
from unfooled.recipe import Plan, Recipe


@dataclass(frozen=True)
class Learned:
    """What training all seeds took and reached.

    Attributes:
        seconds: wall time.
        busy: what the workers spent on training, together; the wall time where there are none.
        accuracies: on the validation images, one for each seed.
    """

    seconds: float
    busy: float
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class Trainer:
    """What a worker process does: the training of one seed, or of so many at once."""

    recipe: Recipe
    folder: Path | None
    images: int
    device: str
    seeds: int = 1

    def perform(self, job: Job, weights: object, report: object) -> bytes:
        """The seconds without those of the first calls, and validation accuracies, as text."""
        warmed_up(self.folder, self.device)
        data, device = cut(self.folder, self.images), torch.device(self.device)
        asked = ("strided", data, self.recipe)
        start = time.perf_counter()
        if self.seeds == 1:
            found = [training.train(*asked, job.seed, device=device)]
        else:
            found = training.train_together(*asked, range(self.seeds), device=device)
        took = time.perf_counter() - start
        return " ".join(
            str(one) for one in [took, *(net.history[-1].validation for net in found)]
        ).encode()


@cache
def cut(folder: Path | None, images: int) -> Dataset:
    """MNIST with so many training images, read once in each process."""
    whole = dataset.find("mnist", folder=folder)
    held = max(1, images * len(whole.validation) // len(whole.train))
    train, validation = whole.train.part(0, images), whole.validation.part(0, held)
    return replace(whole, train=train, validation=validation)


@cache
def warmed_up(folder: Path | None, device: str) -> None:
    """Train a little, once in each process: the first step imports much of torch."""
    recipe = Recipe("plain", "", plan=Plan(epochs=1))
    training.train("strided", cut(folder, 256), recipe, 0, device=torch.device(device))


def by_workers(trainer: Trainer, seeds: int, workers: int) -> Learned:
    """The seeds as jobs of `engines/local`, whose processes are started anew."""
    jobs = [Job("train", 0, seed, 0, str(seed), (), 1.0) for seed in range(seeds)]
    found, busy = dict[int, list[float]](), 0.0
    start = time.perf_counter()
    for event in local(jobs, trainer.perform, lambda _: (), Means(trainer.device, workers)):
        if isinstance(event, Failed):
            raise SystemExit(event.message)
        if isinstance(event, Done):
            spent, *found[event.job.seed] = map(float, event.content.split())
            busy += spent
    seconds = time.perf_counter() - start
    return Learned(seconds, busy, tuple(one for seed in range(seeds) for one in found[seed]))


def at_once(trainer: Trainer, seeds: int) -> Learned:
    """All seeds in one job, as `unfooled study --together` has it."""
    return by_workers(replace(trainer, seeds=seeds), 1, 1)
