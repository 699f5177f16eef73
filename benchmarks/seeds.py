"""Several seeds of one recipe trained at once: on a worker per core, or stacked in one network.

Seed s starts from the same weights and meets the images in the same order both ways.
"""

import statistics
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from unfooled import dataset, model, training
from unfooled.dataset import Dataset
from unfooled.engine import Done, Failed, Means
from unfooled.engines.local import local
from unfooled.gradients import predict
from unfooled.jobs import Job
from unfooled.losses import fooled
from unfooled.randomness import Draws
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

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies)


@dataclass(frozen=True)
class Trainer:
    """What a worker process does: the training of one seed."""

    recipe: Recipe
    folder: Path | None
    images: int

    def perform(self, job: Job, weights: object, report: object) -> bytes:
        """The validation accuracy, and the seconds without those of the first calls, as text."""
        warmed_up(self.folder)
        data, device = cut(self.folder, self.images), torch.device("cpu")
        start = time.perf_counter()
        found = training.train("strided", data, self.recipe, job.seed, device=device)
        return f"{found.history[-1].validation} {time.perf_counter() - start}".encode()


@cache
def cut(folder: Path | None, images: int) -> Dataset:
    """MNIST with so many training images, read once in each process."""
    whole = dataset.find("mnist", folder=folder)
    held = max(1, images * len(whole.validation) // len(whole.train))
    train, validation = whole.train.part(0, images), whole.validation.part(0, held)
    return replace(whole, train=train, validation=validation)


@cache
def warmed_up(folder: Path | None) -> None:
    """Train a little, once in each process: the first step imports much of torch."""
    recipe = Recipe("plain", "", plan=Plan(epochs=1))
    training.train("strided", cut(folder, 256), recipe, 0, device=torch.device("cpu"))


def by_workers(trainer: Trainer, seeds: int, workers: int) -> Learned:
    """The seeds as jobs of `engines/local`, whose processes are started anew."""
    jobs = [Job("train", 0, seed, 0, str(seed), (), 1.0) for seed in range(seeds)]
    found, busy = dict[int, float](), 0.0
    start = time.perf_counter()
    for event in local(jobs, trainer.perform, lambda _: (), Means("cpu", workers)):
        if isinstance(event, Failed):
            raise SystemExit(event.message)
        if isinstance(event, Done):
            found[event.job.seed], spent = map(float, event.content.split())
            busy += spent
    seconds = time.perf_counter() - start
    return Learned(seconds, busy, tuple(found[seed] for seed in range(seeds)))


def stacked(trainer: Trainer, seeds: int, threads: int) -> Learned:
    """The seeds as one network, a layer of which holds the weights of all."""
    data, plan = cut(trainer.folder, trainer.images), trainer.recipe.plan
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    start = time.perf_counter()
    try:
        accuracies = _stacked(data, plan, seeds)
    finally:
        torch.set_num_threads(before)
    seconds = time.perf_counter() - start
    return Learned(seconds, seconds, accuracies)


def _stacked(data: Dataset, plan: Plan, seeds: int) -> tuple[float, ...]:
    """Validation accuracies; the same optimiser, schedule and batches as `training.train`."""
    shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
    nets = [model.build("strided", **shape, seed=seed) for seed in range(seeds)]
    weights, buffers = stack_module_state(nets)  # type: ignore[arg-type]
    logits = vmap(lambda own, rest, images: functional_call(nets[0], (own, rest), (images,)))
    steps = max(1, len(data.train) // plan.batch_size)
    adam = torch.optim.Adam(weights.values(), lr=plan.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, plan.learning_rate, total_steps=plan.epochs * steps
    )
    accuracies: tuple[float, ...] = ()
    for epoch in range(plan.epochs):
        for batch in _batches(data, plan, seeds, epoch, steps):
            images = data.train.pixels(batch.flatten()).view(
                *batch.shape, *data.train.images[0].shape
            )
            found = logits(weights, buffers, images)
            losses = F.cross_entropy(
                found.flatten(0, 1), data.train.labels[batch].flatten(), reduction="sum"
            )
            adam.zero_grad()
            # Each seed's mean: Adam's steps are then those that it takes for each alone.
            (losses / plan.batch_size).backward()
            adam.step()
            schedule.step()
        accuracies = tuple(_validated(data, net, _own(weights, s)) for s, net in enumerate(nets))
    return accuracies


def _batches(
    data: Dataset, plan: Plan, seeds: int, epoch: int, steps: int
) -> Generator[Tensor, None, None]:
    """For each step the places of every seed's images, `[seeds, batch]`."""
    draws = [Draws(seed, "training").step(epoch).step("order") for seed in range(seeds)]
    orders = torch.stack([one.order(len(data.train)) for one in draws])
    yield from orders.split(plan.batch_size, dim=1)[:steps]


def _own(weights: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    return {name: tensor[seed].detach() for name, tensor in weights.items()}


def _validated(data: Dataset, net: nn.Module, own: dict[str, Tensor]) -> float:
    net.load_state_dict(own)
    wrong = fooled(predict(net, data.validation.pixels()), data.validation.labels)
    return 1 - float(wrong.float().mean())
