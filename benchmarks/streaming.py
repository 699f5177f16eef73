"""A data set on the disk that is larger than memory, through a whole study in limited processes.

    python benchmarks/streaming.py [--out DIR] [--write]

Written are a data set of bytes and a file of a user's own that maps it, in a folder that is removed
in the end; `unfooled study` is then run under a limit of RLIMIT_DATA, which all its processes
inherit. It counts what a process may write into, and not a shared map that is only read: the pages
of such a map are the file's own, and the system takes them back whenever it needs room. A limit of
the address space (RLIMIT_AS) would count the whole file, though little of it is in memory.
"""

import argparse
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import section

from unfooled import dataset

_SEEN = 10_000  # images to train on; the last of all
_BLOCK = 1000  # images that are made up at once
_GIBIBYTE = 2**30
_EVERY = 0.5  # seconds between two looks at the memory

_OWN = '''"""Images that are larger than memory, and a small network for them."""

from pathlib import Path

import torch
from torch import nn

from unfooled import dataset

N, SEEN = {n}, {seen}


def large(*, folder):
    images = dataset.mapped(Path(__file__).with_name("images.npy"), N)
    whole = dataset.Split(images, torch.arange(N) % 10)
    return dataset.assemble(
        "large", "images on the disk", tuple("0123456789"), "made up",
        whole.part(N - SEEN, None), SEEN // 10, whole,
    )


def small(*, channels, size, classes):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 8, stride=8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * (size // 8) ** 2, classes),
    )
'''

_STUDY = """
question = "Is a data set larger than memory evaluated whole?"
dataset = "mine.py:large"
model = "mine.py:small"
seeds = 1
answer_eps = 0.02

[plan]
epochs = 1
batch_size = 100
learning_rate = 0.01

[recipes.plain]
title = "As it is"

[[attacks]]
name = "fgsm"
eps = [0.02]
"""


@dataclass
class Seen:
    """The most that one process of the command had, in bytes, by lines of /proc/PID/status.

    Attributes:
        anonymous: RssAnon: what it wrote, and what the limit is about.
        mapped: RssFile: pages of files, its libraries' among them.
        whole: VmHWM, both together at their highest.
    """

    anonymous: int = 0
    mapped: int = 0
    whole: int = 0

    def look(self, pid: int) -> None:
        """At a process and all that it started."""
        for one in _family(pid):
            try:
                status = Path(f"/proc/{one}/status").read_text()
            except OSError:  # it has ended
                continue
            lines = dict(re.findall(r"^(RssAnon|RssFile|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
            self.anonymous = max(self.anonymous, 1024 * int(lines.get("RssAnon", 0)))
            self.mapped = max(self.mapped, 1024 * int(lines.get("RssFile", 0)))
            self.whole = max(self.whole, 1024 * int(lines.get("VmHWM", 0)))


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, help="folder to make and remove; a temporary one if not"
    )
    parser.add_argument("--gigabytes", type=float, default=20, help="of the data set")
    parser.add_argument("--memory", type=float, default=4, help="GiB that a process may have")
    parser.add_argument("--size", type=int, default=64, help="side of the images, in pixels")
    parser.add_argument("--write", action="store_true", help="put the section into the page")
    asked = parser.parse_args()
    if asked.out is not None:
        asked.out.mkdir(parents=True)
    folder = asked.out or Path(tempfile.mkdtemp())
    try:
        _report(folder, asked)
    finally:
        shutil.rmtree(folder)


def _report(folder: Path, asked: argparse.Namespace) -> None:
    n = int(asked.gigabytes * 1e9) // (3 * asked.size**2)
    start = time.perf_counter()
    _made(folder, n, asked.size)
    making = time.perf_counter() - start
    on_disk = 512 * (folder / "images.npy").stat().st_blocks
    seconds, seen = _studied(folder, int(asked.memory * _GIBIBYTE))
    jobs = _jobs(folder / "run")
    attack = jobs["plain-0-0-fgsm-Linf"]
    rows = [
        ["the whole command", f"{seconds:,.0f}", ""],
        ["training on 9,000 of them", f"{jobs['plain-0']:,.0f}", ""],
        [f"FGSM on all {n:,}", f"{attack:,.0f}", f"{n / attack:,.0f}"],
        [
            "all but jobs: SHA-256 of the file, in each process that opens it, and the report",
            f"{seconds - sum(jobs.values()):,.0f}",
            "",
        ],
    ]
    memory = [
        ["anonymous (RssAnon), which the limit counts", f"{seen.anonymous / _GIBIBYTE:.2f}"],
        ["of files (RssFile), which may be taken back", f"{seen.mapped / _GIBIBYTE:.2f}"],
        ["both (VmHWM)", f"{seen.whole / _GIBIBYTE:.2f}"],
    ]
    side, size = asked.size, f"{on_disk / 1e9:.1f} GB"
    body = f"""
`unfooled study` on {n:,} test images of 3 x {side} x {side} bytes in one file of {size}
(made in {making:,.0f} s), which a user's own `file.py:function` maps: a network of two layers,
one worker, and at most {asked.memory:g} GiB of memory in each process by RLIMIT_DATA. That counts
what a process may write into, and not a shared map that is only read, whose pages stay as long as
nobody else needs the room and are then taken back.

{section.table(["work", "seconds", "images a second"], rows)}

{section.table(["most memory of one process", "GiB"], memory)}
"""
    basis = f"n = {n:,} images, one run"
    section.publish("streaming", "A data set larger than memory", basis, body, write=asked.write)


def _made(folder: Path, n: int, size: int) -> None:
    """A file of noisy stripes, whose direction and width is the class, and code that reads it."""
    (folder / "mine.py").write_text(_OWN.format(n=n, seen=_SEEN))
    (folder / "study.toml").write_text(_STUDY)
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    ways = [across // width % 2 for width in (2, 4, 6, 8, 12)]
    ways += [down // width % 2 for width in (2, 4, 6, 8, 12)]
    patterns = np.stack(ways).astype(np.uint8)[:, None] * np.uint8(80)
    chance = np.random.default_rng(0)

    def images() -> Iterator[np.ndarray]:
        for start in range(0, n, _BLOCK):
            count = min(_BLOCK, n - start)
            noise = chance.integers(0, 176, (count, 3, size, size), np.uint8)
            yield from noise + patterns[np.arange(start, start + count) % 10]

    dataset.write(folder / "images.npy", (n, 3, size, size), images())


def _studied(folder: Path, most: int) -> tuple[float, Seen]:
    """Seconds of the command, and the memory that its processes took."""
    command = [sys.executable, "-m", "unfooled", "study", "study.toml", "--out", "run"]
    command += ["--workers", "1", "--device", "cpu"]
    start, seen = time.perf_counter(), Seen()
    process = subprocess.Popen(
        command,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)),
    )
    while process.poll() is None:
        seen.look(process.pid)
        time.sleep(_EVERY)
    if process.returncode:
        sys.exit(f"the command ended with {process.returncode}")
    return time.perf_counter() - start, seen


def _jobs(run: Path) -> dict[str, float]:
    """Seconds of each job."""
    ledger = sqlite3.connect(run / "ledger.sqlite")
    try:
        return dict(ledger.execute("SELECT name, seconds FROM jobs"))
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
