"""Adversarial training against a loop written by hand and ART's trainers.

One epoch of adversarial training, with one step and with three, the ways in turn, each
library in a worker process of its own (`workers.py`, `trainers.py`): CPU seconds of one thread.
What each has learned is not compared, but the passes of each are counted.
"""

import argparse
import dataclasses
import importlib.metadata
import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import trainers
import workers
from section import publish, table
from trainers import Passes, Task
from workers import Team

# Worker processes import this file too, and only one of them shall hold unfooled: it is imported
# where it is needed.
if TYPE_CHECKING:
    from unfooled.dataset import Dataset

STEPS = {1: 1.0, 3: 0.5}  # with the size of a step, as a share of eps
OURS, LOOP, FAST = "unfooled", "hand-written loop", "ART, AdversarialTrainerFBFPyTorch"
BARS = {LOOP: 1.0, "ART": 3.0}  # as many times as fast we want to be
WARM_UP = 512  # images of an epoch that is not measured
WAYS = [way for way in trainers.WAYS if way != FAST]

Seconds = dict[str, float]  # of each way


def rates(
    team: Team, task: Task, repeats: int, folder: Path | None
) -> tuple[Seconds, dict[str, Passes]]:
    """Median seconds of an epoch in each way, and its passes."""
    ways = [*WAYS, *([FAST] if task.steps == 1 else [])]
    few = dataclasses.replace(task, images=min(WARM_UP, task.images))
    for way in ways:
        team.call(process(way), trainers.timed, way, few, folder)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            times[way].append(team.call(process(way), trainers.timed, way, task, folder))
    seconds = {way: statistics.median(found) for way, found in times.items()}
    passes = {way: team.call(process(way), trainers.counted, way, task, folder) for way in ways}
    return seconds, passes


def process(way: str) -> str:
    """All ways of a library share one."""
    return way.partition(",")[0]


def epochs_told(task: Task, seconds: Seconds, passes: dict[str, Passes]) -> str:
    """The ways with so many steps, and what became of the bars."""
    rows = []
    for way, took in seconds.items():
        one = passes[way]
        counts = [f"{n:.2f}" for n in (one.forward, one.by_pixel, one.by_weight)]
        rows.append([way, *counts, f"{task.images / took:,.0f}", f"{took / seconds[OURS]:.2f}"])
    head = ["", "forward passes", "back to the pixels", "back to the weights"]
    head += ["images a second", "unfooled / this"]
    told = []
    for peer, wanted in BARS.items():
        nearest = min((way for way in seconds if process(way) == peer), key=seconds.__getitem__)
        ratio = seconds[nearest] / seconds[OURS]
        reached = "reached" if ratio >= wanted else "missed"
        told.append(f"{wanted:g} times the speed of {nearest}: {reached}, {ratio:.2f}.")
    title = f"### {task.steps} step{'s' if task.steps > 1 else ''}"
    return f"{title}\n\n{table(head, rows)}\n\nWanted at least: {' '.join(told)}"


def adversarially(data: "Dataset", given: argparse.Namespace) -> list[str]:
    from unfooled import model

    net = model.build("strided", channels=1, size=28, classes=10, seed=0)
    count = min(given.images, len(data.train))
    few = data.train.part(0, count)
    told = []
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "stage.pt"
        workers.store(stage, few.pixels(), few.labels, {"strided": net})
        with Team(stage, 1, "cpu") as team:
            for steps, size in STEPS.items():
                task = Task(count, steps, size)
                told.append(epochs_told(task, *rates(team, task, given.repeats, given.data)))
    version = importlib.metadata.version("adversarial-robustness-toolbox")
    preface = (
        f"One epoch of adversarial training at Linf {task.eps:g} (at 0.3 a single step may overfit "
        f"catastrophically, and ours would then take two) on MNIST's first {count:,} "
        f"training images, network `strided`, batches of {trainers.BATCH}, a random start and "
        "then steps of 1 eps (one step) or 0.5 eps (three): CPU time of one thread, the ways in "
        f"turn, medians of {given.repeats}. Passes are images that went through the network, for "
        "each image of the epoch: the last forward pass and the last way back to the weights are "
        "the learning, the rest goes into the crafting, where only ours leaves out the weights. "
        "Ours is `training.train` as it is: with the drawn order, the schedule, Adam, four "
        "looks for catastrophic overfitting and the validation after the epoch. The "
        "hand-written loop has its images in memory as float32 and does nothing besides. ART's "
        "AdversarialTrainerFBFPyTorch takes one step of 1.25 eps and SGD, the others Adam; its PGD "
        "also finds out which images it fooled. What each has learned is not compared. "
        f"adversarial-robustness-toolbox {version}."
    )
    return [preface, *told]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files, or UNFOOLED_DATA")
    parser.add_argument(
        "--images", type=int, default=55000, help="to train on; with fewer, our looks weigh more"
    )
    parser.add_argument("--repeats", type=int, default=5, help="alternations")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    from unfooled import dataset

    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"  # in the workers: ART shows bars unasked
    data = dataset.find("mnist", folder=given.data)
    body = adversarially(data, given)
    basis = f"n = {given.repeats} alternations"
    publish(
        "robust_training",
        "Adversarial training",
        basis,
        "\n\n".join(body),
        write=given.write,
    )


if __name__ == "__main__":
    main()
