"""Worker processes on this machine, one a core with one thread each, or one a GPU.

Two threads in one process are erratic on small networks; one thread in each of two processes is
steady (docs/benchmarks.md). Workers hold no file and end with the driver, even if it is killed:
each has one pipe, and a closed pipe is the end.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from unfooled.engine import (
    Agenda,
    Done,
    Event,
    Means,
    Perform,
    Progress,
    Weights,
    WeightsOf,
    gpus,
    outcome,
    places,
)
from unfooled.errors import named
from unfooled.jobs import Job

# A worker imports the script that began the run, and dies if it begins another.
_GUARD = 'a script that begins a run does so under `if __name__ == "__main__":`'
_LONGEST = 3600.0  # seconds that one wait may take; the system knows no end of time


def local(
    jobs: Sequence[Job], perform: Perform, weights_of: WeightsOf, means: Means
) -> Generator[Event, None, None]:
    """Every job, on as many processes as there are workers; see `engine.py`.

    A worker that dies takes its job with it, which is begun once more on a new one.
    """
    agenda, pool = Agenda(jobs), _Pool(perform, means)
    try:
        while agenda.open:
            while pool.has_room and (job := agenda.next()) is not None:
                pool.start(job, weights_of(job))
            for worker in pool.speaking():
                job, (kind, value, seconds) = worker.job, worker.heard()
                if kind == "begun":
                    worker.began = time.monotonic()
                    continue
                if kind == "progress":
                    yield Progress(job, value)
                    continue
                pool.release(worker)
                if kind == "done":
                    agenda.done(job)
                    yield Done(job, value, seconds)
                elif kind == "failed":
                    yield from agenda.failed(job, value)
                else:
                    yield from agenda.died(job, value)
            for worker in pool.overdue():
                pool.end(worker)
                yield from agenda.failed(worker.job, means.too_long)
    finally:
        pool.close()


@dataclass(eq=False)
class _Worker:
    """A process, our end of its pipe, and the job that it is at.

    Attributes:
        place: 0 for the first of those that live, then 1, ...; decides which GPU it sees.
        began: when it took the job, by a clock that nobody sets; never, as long as it starts.
    """

    process: BaseProcess
    pipe: Connection
    place: int
    job: Job
    began: float

    def heard(self) -> tuple[str, Any, float]:
        """What it says, or that it died; its process may not have ended yet."""
        try:
            return self.pipe.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            self.pipe.close()
            told = _epitaph(self.process)
            if self.process.exitcode == 1 and self.began == math.inf:
                told = f"{told} before it began ({_GUARD})"
            return "died", told, 0.0


class _Pool:
    """The workers that live: those at a job, and those that wait for one."""

    def __init__(self, perform: Perform, means: Means) -> None:
        self._perform, self._limit = perform, means.limit
        self._gpus = gpus() if means.device == "cuda" else []
        self._most = means.workers or places(means.device)
        self._busy: dict[Connection, _Worker] = {}
        self._idle: list[_Worker] = []

    @property
    def has_room(self) -> bool:
        return len(self._busy) < self._most

    def start(self, job: Job, weights: Weights) -> None:
        """On an idle worker, or on a new one."""
        while self._idle and not self._idle[-1].process.is_alive():
            _ended(self._idle.pop())  # by no fault of this job's
        worker = self._idle.pop() if self._idle else self._born(job)
        worker.job, worker.began = job, math.inf
        self._busy[worker.pipe] = worker
        with contextlib.suppress(OSError):  # a dead worker is heard of later
            worker.pipe.send((job, weights))

    def speaking(self) -> list[_Worker]:
        """Those with something to say, as soon as there is one, or one takes too long."""
        until = None
        if self._limit is not None:
            first = min(worker.began for worker in self._busy.values())
            until = min(max(0.0, first + self._limit - time.monotonic()), _LONGEST)
        heard = wait(list(self._busy), until)
        return [worker for pipe, worker in self._busy.items() if pipe in heard]

    def overdue(self) -> list[_Worker]:
        """Those that have been at their job for too long, and have nothing more to say."""
        if self._limit is None:
            return []
        now, busy = time.monotonic(), self._busy.values()
        late = [one for one in busy if now - one.began >= self._limit]
        return [one for one in late if not one.pipe.poll()]

    def release(self, worker: _Worker) -> None:
        """It waits for another job, or has died."""
        if worker.pipe.closed:
            self.end(worker)
        else:
            del self._busy[worker.pipe]
            self._idle.append(worker)

    def end(self, worker: _Worker) -> None:
        del self._busy[worker.pipe]
        _ended(worker)

    def close(self) -> None:
        for worker in [*self._busy.values(), *self._idle]:
            _ended(worker)

    def _born(self, job: Job) -> _Worker:
        taken = {worker.place for worker in self._busy.values()}
        place = next(place for place in range(self._most) if place not in taken)
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        ours, theirs = multiprocessing.Pipe()
        environment = os.environ | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
        told = (theirs, self._perform, environment)
        process = _processes().Process(target=_serve, args=told, daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, place, job, math.inf)


def _processes() -> Any:
    """Where processes come from: a fork of one that has imported torch is there at once.

    Only an import is forked, no thread and nothing of this process, so it is as safe as `spawn`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unfooled.worker"])
    return context


def _ended(worker: _Worker) -> None:
    worker.process.kill()  # it holds no file, so there is nothing to put in order
    worker.process.join()
    worker.pipe.close()


def _epitaph(process: BaseProcess) -> str:
    """How a process ended that has closed its pipe."""
    until = time.monotonic() + 1.0
    # Not by `join`, which takes a closed file for an end and then waits without one.
    while (code := process.exitcode) is None and time.monotonic() < until:
        time.sleep(0.01)
    if code == -signal.SIGKILL:
        return "its worker process was killed (it may have run out of memory)"
    if code is not None and code < 0:
        return f"its worker process died by {signal.Signals(-code).name}"
    return "its worker process died"


def _serve(pipe: Connection, perform: Perform, environment: Mapping[str, str]) -> None:
    """The life of a worker; Ctrl-C is the driver's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)  # before CUDA looks at it
    import torch

    torch.set_num_threads(1)

    def report(share: float) -> None:
        try:
            pipe.send(("progress", share, 0.0))
        except OSError:  # the driver is gone; the job's own code must not take it for its own error
            os._exit(1)

    try:
        while True:
            job, weights = pipe.recv()
            pipe.send(("begun", None, 0.0))
            try:
                said = outcome(perform, job, weights, report)
            except BaseException as error:  # Ctrl-C is the driver's: this is of the job's own code
                said = "failed", named(error), 0.0
            pipe.send(said)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver is gone
