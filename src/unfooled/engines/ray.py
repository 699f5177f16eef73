"""A Ray cluster: one that others run, or one of this machine alone.

The driver speaks with a child process, which speaks with Ray (`pilot.py`): Ray ends a process whose
cluster is lost, and the driver has a folder to keep. A pilot that is gone is followed by another,
which looks for the cluster again; what it was at is begun anew.
"""

import multiprocessing
import pickle
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from unfooled.engine import (
    Agenda,
    Done,
    Event,
    Failed,
    Means,
    Perform,
    Progress,
    WeightsOf,
    cores,
    gpus,
)
from unfooled.errors import InvalidOption
from unfooled.hand import Parcel
from unfooled.jobs import Job, versions
from unfooled.pilot import Terms, Word, serve

NEEDS = "ray"
CARRIES = True
PATIENCE = 120.0  # seconds in which a cluster that was there may come back
PILOTS = 5  # that may end one after the other with no job done between
_ANSWER = 120.0  # seconds that connecting, or beginning Ray here, may take
_PAUSE = 1.0  # seconds before it is looked for again
_FAREWELL = 15.0  # seconds that a pilot may take to end what it began


def ray(
    jobs: Sequence[Job],
    perform: Perform,
    weights_of: WeightsOf,
    means: Means,
    *,
    address: str = "",
) -> Generator[Event, None, None]:
    """Every job, on a worker for each core or GPU of a Ray cluster; see `engine.py`.

    A worker that dies takes its job with it, which is begun once more; one whose machine is lost is
    begun again elsewhere. Machines may join at any time. Every machine has unfooled installed, in
    the same version; the data are sent, up to 2 GB.

    Args:
        address: "auto", ray://HOST:PORT or HOST:PORT; "" begins Ray on this machine.

    Raises:
        InvalidOption: there is no such cluster, or no worker can be started on it.
    """
    agenda = Agenda(jobs)
    if not agenda.open:
        return
    link = _Link(jobs, perform, means, address)
    try:
        link.open()
        while agenda.open:
            link.give(agenda, weights_of)
            for event in _heard(link, agenda, jobs, means):
                if isinstance(event, Done | Failed):
                    link.ended(event.job)
                yield event
    finally:
        link.close()


def _heard(link: "_Link", agenda: Agenda, jobs: Sequence[Job], means: Means) -> Iterator[Event]:
    """What the pilot says next."""
    kind, key, value, seconds = link.hear()
    if kind in ("gone", "unable", "useless"):
        why = link.useless(value) if kind == "useless" else link.hopeless(value)
        lost = link.dropped()
        if not why:
            for job in lost:
                yield from agenda.lost(job)
            link.open()
        for job in jobs if why else ():
            yield from agenda.failed(job, why)
    elif kind == "progress":
        yield Progress(link.running[key], value)
    elif key:
        job = link.running.pop(key)
        if kind == "done":
            agenda.done(job)
            yield Done(job, value, seconds)
        elif kind == "failed":
            yield from agenda.failed(job, value)
        elif kind == "late":
            yield from agenda.failed(job, means.too_long)
        elif kind == "lost":
            yield from agenda.lost(job)
        else:
            yield from agenda.died(job, value)


class _Link:
    """The pilot of the moment, and what was told to it.

    Attributes:
        running: the jobs that it has.
    """

    def __init__(self, jobs: Sequence[Job], perform: Perform, means: Means, address: str) -> None:
        memory: list[pickle.PickleBuffer] = []
        self._parcel = Parcel(
            perform=pickle.dumps(perform, protocol=5, buffer_callback=memory.append),
            memory=tuple(np.frombuffer(one.raw(), np.uint8) for one in memory),
            path=tuple(sys.path),
            folder=str(Path.cwd()),
            versions=versions(),
        )
        on_gpu = len(gpus()) if means.device == "cuda" else 0
        room = means.workers or on_gpu or cores()
        self._terms = Terms(
            address, room, on_gpu, len(jobs), means.workers, means.device, means.limit
        )
        self._wanted = Counter(one.key for job in jobs for one in job.needs)
        self.running: dict[str, Job] = {}
        self._there: set[str] = set()  # what was put into its object store
        self._idle = 0
        self._reached = self._worked = False
        self._since, self._in_vain = 0.0, 0
        self._process: BaseProcess | None = None
        self._pipe: Connection

    def open(self) -> None:
        """Another pilot."""
        self._pipe, theirs = multiprocessing.Pipe()
        # Not a fork of anything that has imported torch: it needs none.
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, self._parcel, self._terms), daemon=True
        )
        self._process.start()
        theirs.close()
        self._silent = True

    def hear(self) -> Word:
        """What it says next, or that it is gone."""
        try:
            if self._silent and not self._pipe.poll(_ANSWER):
                return "unable", "", f"it does not answer within {_ANSWER:g} seconds", 0.0
            kind, key, value, seconds = self._pipe.recv()
        except (EOFError, OSError):
            return "gone", "", "Ray has ended the process that was connected to it", 0.0
        self._silent = kind == "again"
        if kind == "reached":
            self._reached, self._since = True, 0.0
        elif kind == "done":
            self._in_vain = 0
        self._idle += kind == "idle"
        self._worked |= kind == "idle"
        return kind, key, value, seconds

    def give(self, agenda: Agenda, weights_of: WeightsOf) -> None:
        """A job to each worker that waits for one."""
        try:
            while self._idle and (job := agenda.next()) is not None:
                self.running[job.key] = job
                self._idle -= 1
                needs = [one.key for one in job.needs]
                if not self._there.issuperset(needs):
                    for key, content in zip(needs, weights_of(job), strict=True):
                        self._keep(key, content)
                self._pipe.send(("job", job.key, pickle.dumps(job), tuple(needs)))
        except OSError:  # it is gone, which is heard next
            return

    def _keep(self, key: str, content: bytes | None) -> None:
        if key not in self._there:
            self._pipe.send(("keep", key, content, ()))
            self._there.add(key)

    def ended(self, job: Job) -> None:
        """Let go of what no other job needs."""
        for one in job.needs:
            self._wanted[one.key] -= 1
            if not self._wanted[one.key] and one.key in self._there:
                self._there.remove(one.key)
                try:
                    self._pipe.send(("forget", one.key, None, ()))
                except OSError:
                    return

    def dropped(self) -> list[Job]:
        """The jobs of a pilot that is gone."""
        self.close()
        lost = list(self.running.values())
        self.running, self._there, self._idle = {}, set(), 0
        return lost

    def useless(self, why: str) -> str:
        """Why another pilot would find the same.

        Raises:
            InvalidOption: there never was a worker.
        """
        if not self._worked:
            raise InvalidOption(why)
        return why

    def hopeless(self, why: str) -> str:
        """Why there is no use in another pilot; "" if there is.

        Raises:
            InvalidOption: there was none before that reached the cluster.
        """
        name = f"the Ray cluster at {self._terms.address}" if self._terms.address else "Ray"
        why = f"{name} cannot be reached: {why}"
        if not self._reached:
            raise InvalidOption(why)
        now = time.monotonic()
        self._since = self._since or now
        self._in_vain += bool(self.running)
        if now - self._since > PATIENCE or self._in_vain >= PILOTS:
            return why
        time.sleep(_PAUSE)
        return ""

    def close(self) -> None:
        """The end of the pilot, and of what it began."""
        if self._process is None:
            return
        self._pipe.close()
        self._process.join(_FAREWELL)
        self._process.kill()
        self._process.join()
        self._process = None
