"""What more workers bring and cost: a study on 1 and 2 of them, an engine's own time and memory.

The same study is run from nothing with each number of workers, in turns. An engine's own time is
what it takes for jobs that do nothing, after the first has told that a worker is there.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import section
from idle import nothing
from study import family, memory

from unfooled import config, engine, run, shipped
from unfooled.engine import Done, Means, Progress
from unfooled.jobs import Job

_EVERY = 0.2  # seconds between two looks at the memory


def overhead(name: str, jobs: int) -> float:
    """Seconds of an engine for each job that does nothing, on one worker."""
    own = [Job("nothing", 0, 0, place, str(place), (), 1.0) for place in range(jobs + 1)]
    start = 0.0
    for event in engine.find(name)(own, nothing, lambda _: (), Means(workers=1)):
        if isinstance(event, Done) and not start:
            start = time.perf_counter()
    return (time.perf_counter() - start) / jobs


class Memory:
    """The largest share of memory that the processes below this one have had, each its own."""

    def __init__(self) -> None:
        self.most = dict[int, int]()
        self._ended = threading.Event()
        self._looks = threading.Thread(target=self._look)

    def __enter__(self) -> "Memory":
        self._looks.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._looks.join()

    def _look(self) -> None:
        while not self._ended.wait(_EVERY):
            for process in family(os.getpid())[1:]:
                self.most[process] = max(self.most.get(process, 0), memory(process))


def timed(name: str, seeds: int | None, workers: int) -> tuple[float, float, int]:
    """Seconds from the first job's begin to the last one's end, of the whole, and memory."""
    study = config.read(shipped.file(name), seeds=seeds)
    with tempfile.TemporaryDirectory() as folder, Memory() as looked:
        begun: list[float] = []

        def on_step(step: run.Step) -> None:
            if isinstance(step.event, Progress | Done) and not begun:
                begun.append(time.perf_counter())

        start = time.perf_counter()
        failed = run.run(study, Path(folder), device="cpu", workers=workers, on_step=on_step)
        end = time.perf_counter()
    if failed:
        raise SystemExit(failed[0].message)
    # The processes that do the jobs are the largest.
    largest = sorted(looked.most.values())[-workers:]
    return end - begun[0], end - start, max(largest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="mnist")
    parser.add_argument("--seeds", type=int, help="of the study, if not its own")
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=500, help="that do nothing")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    own = [[name, f"{1000 * overhead(name, asked.jobs):.1f} ms"] for name in asked.engines]
    found: dict[int, list[tuple[float, float, int]]] = {n: [] for n in asked.workers}
    for _ in range(asked.repeats):
        for workers in asked.workers:
            found[workers].append(timed(asked.study, asked.seeds, workers))
    first = statistics.median(whole for _, whole, _ in found[asked.workers[0]])
    rows = []
    for workers, times in found.items():
        jobs, whole = (statistics.median(one[place] for one in times) for place in (0, 1))
        most = max(one[2] for one in times) / 2**20
        rows.append(
            [
                str(workers),
                f"{jobs:.0f} s",
                f"{whole:.0f} s",
                f"{first / whole:.2f}",
                f"{most:.0f} MiB",
            ]
        )
    body = "\n\n".join(
        [
            section.table(["engine", "its own time a job"], own),
            f"The study `{asked.study}` by `local`:",
            section.table(
                ["workers", "jobs", "whole run", "times as fast", "largest worker"], rows
            ),
        ]
    )
    basis = f"{asked.jobs} jobs that do nothing; the study {asked.repeats} times"
    section.publish("scale.py", "More workers", basis, body, write=asked.write)


if __name__ == "__main__":
    main()
