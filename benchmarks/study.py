"""The whole default study, its time and its memory, and the same steps as a tutorial writes them.

The study runs through the public command. Its memory is the summed PSS (shared pages counted once)
of all its processes, sampled every second, on Linux only.

The tutorial's steps (`tutorial.py`) would take too long as a whole, so both are measured on slices,
in turn, in CPU seconds of one thread: an image trained on once, with each set of transformations,
with its share of the validation after each epoch; and an image attacked at one eps. Multiplied by
the study's amounts they give its time both ways. What tutorials do not have is left out of both:
PGD, the noise baseline, and the extra passes of adversarial training.

The same units in wall time, as a user waits for them: the tutorial's with torch's own choice of
threads, ours as the whole study did them, one job on each core.
"""

import argparse
import contextlib
import dataclasses
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tutorial
from section import publish, table
from torch import nn
from torchvision.transforms import InterpolationMode, v2

from unfooled import attack, config, dataset, evaluation, training
from unfooled.dataset import Dataset
from unfooled.engine import cores
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.study import Study
from unfooled.threat import Threat

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
_PAUSE = 1.0  # seconds between two samples of the memory

Changes = tuple[tuple[str, Mapping[str, Any]], ...]
Clock = Callable[[], float]
Way = Callable[[], int]  # does some work and says how many units it was


@dataclass(frozen=True)
class Unit:
    """A piece of work, how often the study has it, and what it takes both ways, in seconds."""

    name: str
    amount: int
    tutorial: float
    ours: float
    transforms: Changes | None = None

    @property
    def row(self) -> list[str]:
        return [
            self.name,
            f"{1e6 * self.tutorial:,.0f}",
            f"{1e6 * self.ours:,.1f}",
            f"{self.tutorial / self.ours:.1f}",
            f"{self.amount:,}",
            f"{self.amount * self.tutorial / 60:.1f}",
            f"{self.amount * self.ours / 60:.1f}",
        ]


def whole(name: str, data_folder: Path | None, out: Path | None) -> tuple[str, dict[str, float]]:
    """What the whole study took, in a sentence, and the seconds of each of its jobs."""
    with contextlib.ExitStack() as stack:
        out = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [
            str(Path(sys.executable).with_name("unfooled")),
            "study",
            name,
            "--out",
            str(out),
        ]
        command += ["--data", str(data_folder)] if data_folder else []
        own = time.process_time()
        seconds, peak = watched(command)
        own = (time.process_time() - own) / seconds
        with contextlib.closing(sqlite3.connect(out / "ledger.sqlite")) as ledger:
            jobs = dict(ledger.execute("SELECT name, seconds FROM jobs"))
    shown = f"{peak / 2**30:.2f} GiB" if peak else "not measured (only on Linux)"
    told = (
        f"The whole study `{name}`: {seconds / 60:.1f} minutes; peak of the summed memory of its "
        f"processes (PSS, sampled every second): {shown}. The sampling is in the time: it "
        f"took {100 * own:.0f} % of a core."
    )
    return told, jobs


def watched(command: list[str]) -> tuple[float, int]:
    """Seconds, and peak bytes (0 without /proc), of a command and all that it starts."""
    peak = 0
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(map(memory, family(process.pid))))
        time.sleep(_PAUSE)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"the study ended with exit code {process.returncode}")
    return seconds, peak


def family(root: int) -> list[int]:
    """A process, its children, their children and so on."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, new = [root], [root]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        found += new
    return found


def memory(process: int) -> int:
    """PSS in bytes; 0 for a process that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def waited(study: Study, jobs: dict[str, float], unit: Unit) -> float:
    """Wall seconds a unit in the whole study, with a job on every core."""
    if unit.transforms is None:
        place = next(p for p, sweep in enumerate(study.sweeps) if sweep.attack == "fgsm")
        names = [
            study.job_name("attack", recipe, seed, place)
            for recipe in range(len(study.recipes))
            for seed in range(study.seeds)
        ]
        share = 1.0
    else:
        # Adversarial training makes extra passes; its jobs say nothing about a plain one.
        plain = [
            place
            for place, recipe in enumerate(study.recipes)
            if recipe.transforms == unit.transforms and "adversarial" not in recipe.defence
        ]
        names = [study.job_name("train", p, seed) for p in plain for seed in range(study.seeds)]
        same = [r.plan.epochs for r in study.recipes if r.transforms == unit.transforms]
        share = sum(study.recipes[p].plan.epochs for p in plain) / sum(same)
    return sum(jobs[name] for name in names) / (unit.amount * share) / cores()


def medians(first: Way, second: Way, repeats: int, clock: Clock) -> tuple[float, float]:
    """Median seconds a unit of two ways that take turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for way, times in zip((first, second), seconds, strict=True):
            start = clock()
            units = way()
            times.append((clock() - start) / units)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def tutorial_training(root: Path, data: Dataset, recipe: Recipe, images: int) -> Way:
    """One epoch over a slice, and a validation over a slice of the same share."""
    turned: list[tutorial.Change] = []
    noised: list[tutorial.Change] = []
    for name, options in recipe.transforms:
        given = dict(options)
        if "interpolation" in given:
            given["interpolation"] = InterpolationMode(given["interpolation"])
        # PIL is faster where both are possible.
        (noised if name == "GaussianNoise" else turned).append(getattr(v2, name)(**given))
    held = range(len(data.train), len(data.train) + validated(data, images))
    loader = tutorial.loader(
        root,
        range(images),
        on_pictures=turned,
        on_tensors=noised,
        shuffle=True,
        batch=tutorial.BATCH,
    )
    validation = tutorial.loader(root, held)

    def way() -> int:
        net = tutorial.network(0)
        tutorial.train_epoch(net, loader, tutorial.optimizer_of(net)[0])
        tutorial.accuracy(net, validation)
        return images

    return way


def our_training(data: Dataset, recipe: Recipe, images: int) -> Way:
    """The same by `training.train`."""
    part = dataclasses.replace(
        data,
        train=data.train.part(0, images),
        validation=data.validation.part(0, validated(data, images)),
    )
    once = dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, epochs=1))

    def way() -> int:
        training.train("strided", part, once, 0, device=CPU)
        return images

    return way


def validated(data: Dataset, images: int) -> int:
    """How many images to validate on after that many of training."""
    return max(1, images * len(data.validation) // len(data.train))


def fgsm_both(
    root: Path, data: Dataset, eps: tuple[float, ...], images: int, repeats: int, clock: Clock
) -> tuple[float, float, str]:
    """Seconds an image and eps both ways, and the accuracies that both find on the same images."""
    plan = Plan(epochs=1)
    net = training.train("strided", data, Recipe("plain", "", plan=plan), 0, device=CPU).model
    bare = nn.Sequential(*list(net.children())[1:])
    ours, few = data.test.sample(images), data.test.sample(max(1, images // 10))
    loader = tutorial.loader(root, few.tolist(), test=True, batch=1)
    accuracies: list[float] = []

    def theirs() -> int:
        accuracies[:] = [tutorial.fgsm_accuracy(bare, loader, one) for one in eps]
        return len(few) * len(eps)

    def evaluated(which: torch.Tensor) -> evaluation.Evaluation:
        return evaluation.evaluate(
            net,
            data.test.pixels(which),
            data.test.labels[which],
            attack.find("fgsm"),
            [Threat("Linf", one) for one in eps if one > 0],
            draws=Draws(0, "benchmark", which),
        )

    def mine() -> int:
        evaluated(ours)
        return len(ours) * len(eps)

    seconds = medians(theirs, mine, repeats, clock)
    facts = evaluated(few)
    stands = (facts.correct & (facts.read_as == facts.labels)).mean(axis=1)
    largest = max(eps)
    found = (
        f"On the same {len(few):,} images and network, the tutorial's FGSM leaves "
        f"{100 * accuracies[-1]:.1f} % at eps {largest:g}, ours {100 * stands[-1]:.1f} %."
    )
    return *seconds, found


def units(
    study: Study,
    data: Dataset,
    root: Path,
    images: int,
    repeats: int,
    clock: Clock = time.process_time,
) -> tuple[list[Unit], str]:
    """Every piece of work, measured both ways."""
    found = []
    each = [recipe.transforms for recipe in study.recipes]
    for changes in [one for place, one in enumerate(each) if one not in each[:place]]:
        recipe = Recipe("unit", "", transforms=changes)
        theirs = tutorial_training(root, data, recipe, images)
        mine = our_training(data, recipe, images)
        epochs = sum(one.plan.epochs for one in study.recipes if one.transforms == changes)
        name = f"train on an image, {', '.join(name for name, _ in changes) or 'as it is'}"
        amount = study.seeds * len(data.train) * epochs
        found.append(Unit(name, amount, *medians(theirs, mine, repeats, clock), changes))
    sweep = next(sweep for sweep in study.sweeps if sweep.attack == "fgsm")
    theirs_took, ours_took, agreement = fgsm_both(root, data, sweep.eps, images, repeats, clock)
    attacked = min(sweep.images or len(data.test), len(data.test))
    amount = len(study.recipes) * study.seeds * attacked * len(sweep.eps)
    found.append(Unit("FGSM on an image at one eps", amount, theirs_took, ours_took))
    return found, agreement


def together(found: list[Unit]) -> str:
    """The table of the units with their sum."""
    head = ["unit", "tutorial, µs", "unfooled, µs", "ratio", "in the study"]
    head += ["tutorial, min", "unfooled, min"]
    theirs = sum(unit.amount * unit.tutorial for unit in found)
    mine = sum(unit.amount * unit.ours for unit in found)
    total = ["together", "", "", f"**{theirs / mine:.1f}**", ""]
    total += [f"{theirs / 60:.1f}", f"{mine / 60:.1f}"]
    return table(head, [*(unit.row for unit in found), total])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files, or UNFOOLED_DATA")
    parser.add_argument("--study", default="mnist", help="a name in studies/, on MNIST")
    parser.add_argument("--out", type=Path, help="keep the study's run in this new folder")
    parser.add_argument("--images", type=int, default=6400, help="of a slice; a tenth for FGSM")
    parser.add_argument("--repeats", type=int, default=5, help="alternations")
    parser.add_argument("--units-only", action="store_true", help="do not run the whole study")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    study = config.read(ROOT / "studies" / f"{given.study}.toml")
    data = dataset.find(study.dataset, folder=given.data)
    lines, jobs = [], dict[str, float]()
    if not given.units_only:
        told, jobs = whole(given.study, given.data, given.out)
        lines.append(told + "\n")
    with tutorial.unpacked(Path(data.source)) as root:
        units(study, data, root, 256, 1)  # imports and first calls are not measured
        found, agreement = units(study, data, root, given.images, given.repeats)
        if jobs:
            torch.set_num_threads(cores())
            walls, _ = units(study, data, root, given.images, given.repeats, time.perf_counter)
    lines.append(
        "The same steps as a tutorial writes them, in CPU time of one thread for a unit of work: "
        f"medians of {given.repeats} alternations over slices of {given.images:,} images "
        f"({given.images // 10:,} for the tutorial's FGSM). Left out of both: PGD, the noise "
        "baseline, the extra passes of adversarial training.\n"
    )
    lines += [together(found), "", agreement]
    if jobs:
        lines.append(
            f"\nThe same in wall time on {cores()} cores: the tutorial with {cores()} threads, "
            "ours as the whole study above did it, a job on each core.\n"
        )
        ours = [dataclasses.replace(unit, ours=waited(study, jobs, unit)) for unit in walls]
        lines.append(together(ours))
    basis = f"n = {given.repeats} alternations"
    publish("study", "The default study", basis, "\n".join(lines), write=given.write)


if __name__ == "__main__":
    main()
