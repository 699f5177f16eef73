"""Processes in which attacks.py times the libraries, one each, kept for a whole run.

So nothing that one library does to its process (imports, allocator, number of threads) touches
another. Our attacks are imported in their own process alone: what the others return is judged with
a few lines of plain torch.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import peers
import torch
from torch import Tensor, nn

from unfooled.peer import Task

_ROUNDING = 1e-6  # float32 rounding of image + change, in pixel units

T = TypeVar("T")


class Standardised(nn.Module):
    """Pixels in [0, 1] to mean 0 and standard deviation 1."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.passes = 0  # images that have come by; ART calls the layers, and not the model

    def forward(self, images: Tensor) -> Tensor:
        self.passes += len(images)
        return (images - self.mean) / self.std


@dataclass(frozen=True)
class Outcome:
    """What one run of an attack took and reached.

    Attributes:
        seconds: CPU seconds with one thread, wall seconds otherwise.
        strength: for each eps the share of all images that stands; without a bound the median
            distance over the images that are read correctly, where not misread counts as infinite.
        fooled: share of the images read correctly that is misread at the largest eps.
        passes: images that went forward through the model, for each image.
    """

    seconds: float
    strength: tuple[float, ...]
    fooled: float
    passes: float


@dataclass(frozen=True)
class Stage:
    """What a worker holds: the test images, and each network twice, to attack and to judge by."""

    images: Tensor
    labels: Tensor
    nets: dict[str, nn.Module]
    judges: dict[str, nn.Module]
    clock: Callable[[], float]


_stage: Stage


def store(path: Path, images: Tensor, labels: Tensor, nets: dict[str, nn.Module]) -> None:
    """A file with what every worker loads; the networks without any class of ours."""
    plain = {}
    for name, net in nets.items():
        first, *rest = net.children()
        plain[name] = nn.Sequential(Standardised(first.mean, first.std), *rest).eval()
    torch.save({"images": images, "labels": labels, "nets": plain}, path)


def _enter(path: Path, threads: int, device: str) -> None:
    global _stage
    torch.set_num_threads(threads)
    held = torch.load(path, weights_only=False, map_location=device)
    for net in held["nets"].values():
        net.requires_grad_(False)
    # Whatever a library does to its copy does not reach the judge.
    judges = torch.load(path, weights_only=False, map_location=device)["nets"]
    clock = time.process_time if threads == 1 and device == "cpu" else _wall(device)
    _stage = Stage(held["images"], held["labels"], held["nets"], judges, clock)


def stage() -> Stage:
    """What the worker holds in which this is called."""
    return _stage


def _wall(device: str) -> Callable[[], float]:
    def clock() -> float:
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def attacked(library: str, task: Task, net: str, count: int, batch: int, seed: int) -> Outcome:
    """One timed run over the first images, in the worker of that library."""
    torch.manual_seed(seed)
    model, images, labels = _stage.nets[net], _stage.images[:count], _stage.labels[:count]
    way = peers.LIBRARIES[library](model, task, batch, seed)
    before = model[0].passes
    start = _stage.clock()
    found = way(images.clone(), labels.clone())
    seconds = _stage.clock() - start
    passes = model[0].passes - before
    strength, fooled = judged(_stage.judges[net], images, labels, task, found)
    return Outcome(seconds, strength, fooled, passes / count)


@torch.no_grad()
def judged(
    model: nn.Module, images: Tensor, labels: Tensor, task: Task, found: list[Tensor]
) -> tuple[tuple[float, ...], float]:
    """Strength and share fooled, as `Outcome` has them."""

    def misread(some: Tensor) -> Tensor:
        return torch.cat([model(part).argmax(1) for part in some.split(500)]) != labels

    correct = ~misread(images)
    strength, share = [], 0.0
    for eps, some in zip(task.eps, found, strict=bool(found)):
        some = some.to(images.device)
        change = (some.double() - images.double()).flatten(1)
        distance = change.abs().amax(1) if task.norm == "Linf" else change.norm(dim=1)
        within = (some.flatten(1) - 0.5).abs().amax(1) <= 0.5 + _ROUNDING
        fooled = misread(some.clamp(0, 1)) & within & (distance <= eps + _ROUNDING)
        share = float(fooled[correct].double().mean())
        if eps == torch.inf:
            far = torch.where(fooled, distance, torch.inf)[correct].sort().values
            strength.append(float(far[len(far) // 2]))
        else:
            strength.append(float((correct & ~fooled).double().mean()))
    return tuple(strength), share


class Team:
    """A worker process for each library; they are called one at a time."""

    def __init__(self, path: Path, threads: int, device: str) -> None:
        self._given = (path, threads, device)
        self._workers: dict[str, ProcessPoolExecutor] = {}

    def call(self, library: str, function: Callable[..., T], *given: Any) -> T:
        """What a function of a module returns in that library's process."""
        if library not in self._workers:
            threads = self._given[1]
            os.environ["OMP_NUM_THREADS"] = str(threads)  # for numpy's share of the work, too
            self._workers[library] = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), _enter, self._given
            )
        return self._workers[library].submit(function, *given).result()

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.shutdown()
