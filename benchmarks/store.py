"""What it takes to open, ask and count a run's folder of very many jobs, and to plan as many.

python benchmarks/store.py --write
"""

import argparse
import dataclasses
import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import section

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import toys

from unfooled import jobs, ledger, store
from unfooled.engine import Agenda

PLAIN = {"name": "made up"}


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def fill(folder: Path, rows: int, files: int) -> None:
    """A folder of so many finished jobs, of which so many have their file."""
    with store.opened(folder, PLAIN):
        pass
    known = sqlite3.connect(folder / ledger.NAME)
    names = (f"recipe-{number // 10}-{number % 10}-0-pgd-Linf" for number in range(rows))
    made = (
        (key(number), name, f"facts/{name}.npz", key(number), 1.0, 3)
        for number, name in enumerate(names)
    )
    with known:
        known.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", made)
    known.close()
    (folder / "study.json").write_text('{"name": "made up"}')
    for number in range(files):
        (folder / f"facts/recipe-{number // 10}-{number % 10}-0-pgd-Linf.npz").write_bytes(b"abc")


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = act()
    return found, time.perf_counter() - start


def asked(folder: Path, rows: int, files: int) -> list[str]:
    """A row of the table: seconds to open, to learn what is left, and to count."""
    fill(folder, rows, files)
    opening = store.opened(folder, PLAIN)
    kept, opened = timed(opening.__enter__)
    done, learned = timed(kept.finished)
    counted, counting = timed(kept.counted)
    opening.__exit__(None, None, None)
    if len(done) != files or counted["facts"][0] != rows:
        sys.exit(f"{len(done)} of {files} files and {counted} rows were found")
    took = [opened, learned, counting, opened + learned + counting]
    return [f"{rows:,}", f"{files:,}", *(f"{seconds:.2f} s" for seconds in took)]


def planned(seeds: int) -> list[str]:
    """A row of the table: seconds to plan a study of so many seeds, and to go through its jobs."""
    study, data = toys.study(), toys.striped()
    study = dataclasses.replace(study, seeds=seeds)
    found, planning = timed(lambda: jobs.jobs(study, data, "cpu"))
    agenda, began = timed(lambda: Agenda(found))

    def through() -> None:
        while (job := agenda.next()) is not None:
            agenda.done(job)

    _, going = timed(through)
    took = [planning, began + going]
    return [f"{len(found):,}", *(f"{seconds:.2f} s" for seconds in took)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=12_500)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        stores = [
            asked(Path(home) / "rows", given.rows, 0),
            asked(Path(home) / "files", given.files, given.files),
        ]
    plans = [planned(given.seeds // 10), planned(given.seeds)]
    head = ["finished jobs", "with their file", "open", "what is left", "count", "together"]
    body = [
        section.table(head, stores),
        "A file's size is asked of the disk, which takes most of the time where the files are "
        "there: it depends on the disk, and is in proportion to the files.",
        section.table(["jobs", "plan", "hand out and tick off"], plans),
    ]
    loaded = f"{os.getloadavg()[0]:.0f} other programs at work" if hasattr(os, "getloadavg") else ""
    basis = f"one measurement each, {loaded}"
    section.publish("store", "Very many jobs", basis, "\n\n".join(body), write=given.write)


if __name__ == "__main__":
    main()
