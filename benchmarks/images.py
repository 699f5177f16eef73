"""How time and memory of an evaluation grow with its images, each in a process of its own.

    python benchmarks/images.py [--data DIR] [--write]

Evaluated is as a job of a study does it, from the bytes of the data set to those of the facts.
"""

import argparse
import multiprocessing
import re
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import section
import torch

from unfooled import dataset, model
from unfooled.dataset import Dataset, Split
from unfooled.packing import packed
from unfooled.recipe import Plan, Recipe
from unfooled.study import Sweep
from unfooled.sweeping import Sweeping
from unfooled.training import train

_EPS = (0.1,)
_ATTACKS: dict[str, dict[str, int]] = {"fgsm": {}, "pgd": {"steps": 10}}
_MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the MNIST files")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 60_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the section into the page")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = dataset.find("mnist", folder=asked.data)
    plain = Recipe("plain", "plain", plan=Plan(epochs=1))
    weights = model.save(train("strided", data, plain, 0).model, {})
    found: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for _ in range(asked.repeats):  # in turn, so that what else the machine does meets all alike
        for name in _ATTACKS:
            for count in asked.images:
                one = _alone(weights, asked.data, name, count)
                found.setdefault((name, count), []).append(one)
    rows = []
    for (name, count), runs in found.items():
        seconds = statistics.median(one for one, _ in runs)
        peaks = [peak / _MEBIBYTE for _, peak in runs]
        title = Sweep(name, _ATTACKS[name], "Linf", _EPS).title
        middle = f"{statistics.median(peaks):,.0f}"
        spread = f"{min(peaks):,.0f} to {max(peaks):,.0f}"
        each = f"{1e6 * seconds / count:,.0f}"
        rows.append([f"{title}, {count:,} images", f"{seconds:,.2f}", each, f"{middle} ({spread})"])
    head = ["evaluation", "CPU seconds", "µs an image", "peak of the process, MiB"]
    body = f"""
`strided` after one epoch, attacked at Linf eps {_EPS[0]:g} on MNIST's 60,000 training images,
whose bytes the process holds however many it evaluates. One thread; medians, and in parentheses the
range. The peak is VmHWM, most of which is torch itself.

{section.table(head, rows)}
"""
    section.publish(
        "images",
        "Time and memory as images grow",
        f"n = {asked.repeats} processes each",
        body,
        write=asked.write,
    )


def _alone(weights: bytes, folder: Path | None, name: str, count: int) -> tuple[float, int]:
    """CPU seconds of the evaluation in a fresh process, and the most memory that it took."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_evaluated, args=(theirs, weights, folder, name, count))
    process.start()
    theirs.close()
    seconds, peak = ours.recv()
    process.join()
    return seconds, peak


def _evaluated(
    pipe: Connection, weights: bytes, folder: Path | None, name: str, count: int
) -> None:
    torch.set_num_threads(1)
    data = dataset.find("mnist", folder=folder)
    split = _training(data)
    shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
    network = model.restored(weights, "strided", **shape)
    sweep, ids = Sweep(name, _ATTACKS[name], "Linf", _EPS, images=count), split.sample(count)
    start = time.process_time()
    packed(Sweeping(network, (), split, ids, data.classes, sweep, 0).facts().arrays())
    seconds = time.process_time() - start
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    pipe.send((seconds, 1024 * int(found[1]) if found else 0))


def _training(data: Dataset) -> Split:
    """All that is not for the test."""
    both = (data.train, data.validation)
    return Split(torch.cat([s.images for s in both]), torch.cat([s.labels for s in both]))


if __name__ == "__main__":
    main()
