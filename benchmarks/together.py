"""All seeds of a recipe trained at once as one network, against seed by seed.

The plain recipe of the default study, the ways in turn, in worker processes (`seeds.py`): wall
seconds. On a GPU the workers share it.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path

import seeds
import torch
from section import publish, table
from seeds import Learned, Trainer

from unfooled import config, run, shipped
from unfooled.engine import cores

SHARED = (1, 4, 8)  # workers on one GPU


def ways(trainer: Trainer, count: int) -> dict[str, Callable[[], Learned]]:
    """The ways to train so many seeds."""
    shared = SHARED if trainer.device == "cuda" else (cores(),)
    found: dict[str, Callable[[], Learned]] = {}
    for workers in shared:
        called = "1 worker" if workers == 1 else f"{workers} workers"
        found[called] = lambda workers=workers: seeds.by_workers(trainer, count, workers)
    return {**found, "at once, 1 worker": lambda: seeds.at_once(trainer, count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files, or UNFOOLED_DATA")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=55000, help="to train on")
    parser.add_argument("--epochs", type=int, help="the study's own without it")
    parser.add_argument("--repeats", type=int, default=3, help="alternations")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    recipe = config.read(shipped.file("mnist")).recipes[0]
    plan = dataclasses.replace(recipe.plan, epochs=given.epochs or recipe.plan.epochs)
    recipe = dataclasses.replace(recipe, plan=plan)
    trainer = Trainer(recipe, given.data, given.images, run.chosen(given.device))
    asked = ways(trainer, given.seeds)
    found: dict[str, list[Learned]] = {way: [] for way in asked}
    for _ in range(given.repeats):
        for way, call in asked.items():
            found[way].append(call())
    wall = {way: statistics.median(one.seconds for one in runs) for way, runs in found.items()}
    first = next(iter(asked))
    count = min(given.images, 55000)
    seen = given.seeds * plan.epochs * (count // plan.batch_size) * plan.batch_size
    rows = []
    for way, runs in found.items():
        reached = [100 * one for one in runs[0].accuracies]
        rows.append(
            [
                way,
                f"{wall[way]:.1f}",
                f"{seen / wall[way]:,.0f}",
                f"{wall[way] / wall[first]:.2f}",
                f"{statistics.mean(reached):.2f}",
                f"{min(reached):.2f} to {max(reached):.2f}",
            ]
        )
    busy = statistics.median(one.busy for one in found[first])
    head = ["", "wall seconds", "images a second", "of the first row", "validation, %", "range, %"]
    body = (
        f"The recipe `{recipe.name}` of the default study, {given.seeds} seeds, epochs: "
        f"{plan.epochs} on {count:,} images, network `strided`, on "
        f"{torch.cuda.get_device_name() if trainer.device == 'cuda' else 'the CPU'}: wall time, "
        f"medians of {given.repeats}, validation after each epoch included. Workers take one seed "
        "after the other, a thread each, or all at once, as `unfooled study --together` has it: "
        "one network by `torch.func`, the same first weights and order of images. The start of the "
        "workers is in it, and so is the time in which one has nothing left to do, which other "
        f"jobs would fill in a study: of the first row, {busy:.1f} seconds of work in all.\n\n"
        f"{table(head, rows)}"
    )
    basis = f"n = {given.repeats} alternations"
    publish("together", "Seeds one by one and at once", basis, body, write=given.write)


if __name__ == "__main__":
    main()
