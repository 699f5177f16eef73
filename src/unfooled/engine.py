"""What an engine is: it takes jobs and a way to do them, and tells what happens.

Every file in `engines/` holds a function of its own name:

    def name(jobs, perform, weights_of, means) -> Generator[Event, None, None]

`jobs` come in the order in which they should start. `perform` is sent to each worker once and
called there. A job that needs others is started after their `Done` was taken by the caller, with
what `weights_of` returns for it. The caller alone writes, so that a worker can die at any moment
without a trace. Keyword-only parameters with a default are the engine's options. An engine may say
`NEEDS`, the package that it works with, which `pip install "unfooled[NAME]"` brings; and
`CARRIES = True` if its workers may be on machines that have no data files, so that `perform` should
hold the data.
"""

import functools
import heapq
import importlib.util
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from unfooled import catalog
from unfooled.errors import InvalidOption, UnfooledError, named
from unfooled.jobs import Job

LOCAL = "local"  # the engine that needs nothing but this machine
TRIES = 2  # how often a job is begun whose worker dies under it
NEEDED = "a job that it needs failed"  # why a job failed that was never begun
_LONGEST = 500  # letters of somebody else's error
LOSSES = 10  # how often a job's machine may be lost, which a job can be the cause of too

Weights = tuple[bytes | None, ...]  # the files of the jobs that a job needs, in their order
Perform = Callable[[Job, Weights, Callable[[float], None]], bytes]
WeightsOf = Callable[[Job], Weights]


@dataclass(frozen=True)
class Progress:
    """A running job and the share of it that is done; 0 when it begins, or begins again."""

    job: Job
    share: float


@dataclass(frozen=True)
class Done:
    """A finished job, the bytes of its file, and the seconds that it took."""

    job: Job
    content: bytes
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A job that ended without a result, and why."""

    job: Job
    message: str


Event = Progress | Done | Failed


@dataclass(frozen=True)
class Means:
    """What the jobs of a run may take.

    Attributes:
        device: "cpu" or "cuda", where each of them computes.
        workers: jobs at once; None for as many as there are cores, or GPUs.
        limit: seconds that a job may take before it counts as failed; None for no limit.
    """

    device: str = "cpu"
    workers: int | None = None
    limit: float | None = None

    @property
    def too_long(self) -> str:
        """Why a job failed that took longer."""
        return f"it was stopped, since it had taken more than {self.limit:g} seconds"


@runtime_checkable
class Engine(Protocol):
    """A way to have jobs done, see this file's docstring."""

    def __call__(
        self, jobs: Sequence[Job], perform: Perform, weights_of: WeightsOf, means: Means, /
    ) -> Generator[Event, None, None]:
        """What happens, until every job is done or has failed."""


def find(name: str, **options: Any) -> Engine:
    """The engine of that name.

    Raises:
        UnknownName: there is none.
        InvalidOption: it has no such option, or cannot work here.
    """
    function = catalog.function("engines", name)
    package = getattr(catalog.module("engines", name), "NEEDS", None)
    if package is not None and importlib.util.find_spec(package) is None:
        raise InvalidOption(
            f'the engine {name} needs the package {package}: pip install "unfooled[{name}]"'
        )
    catalog.check_options(name, function, options)
    return functools.partial(function, **options)


def carries(name: str) -> bool:
    """Whether the workers of an engine should be sent the data."""
    return bool(getattr(catalog.module("engines", name), "CARRIES", False))


def outcome(
    perform: Perform, job: Job, weights: Weights, report: Callable[[float], None]
) -> tuple[str, Any, float]:
    """What comes of a job in a worker: "done" and its bytes, or "failed" and why; the seconds."""
    start = time.perf_counter()
    try:
        content = perform(job, weights, report)
    except UnfooledError as error:
        return "failed", str(error), 0.0
    except (Exception, SystemExit) as error:  # whatever a user's own function raises
        return "failed", named(error)[:_LONGEST], 0.0
    return "done", content, time.perf_counter() - start


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch  # takes seconds, and a worker must be told its GPU before

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]


def places(device: str) -> int:
    """How many jobs have room on this machine at once."""
    return max(1, len(gpus())) if device == "cuda" else cores()


class Agenda:
    """Which jobs may start, in their order, and which end without having been started."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        places = {job.key: place for place, job in enumerate(jobs)}
        self._jobs = jobs
        self._places = places
        self._needs = {job.key: {one.key for one in job.needs} & places.keys() for job in jobs}
        self._followers: dict[str, list[Job]] = {}
        for job in jobs:
            for key in self._needs[job.key]:
                self._followers.setdefault(key, []).append(job)
        self._ready = [place for place, job in enumerate(jobs) if not self._needs[job.key]]
        self._open = set(places)
        self._deaths: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()

    @property
    def open(self) -> bool:
        """Whether there is a job that has neither been done nor failed."""
        return bool(self._open)

    def next(self) -> Job | None:
        """The first job that may start, which counts as started; None if none may now."""
        while self._ready:
            job = self._jobs[heapq.heappop(self._ready)]
            if job.key in self._open:
                return job
        return None

    def done(self, job: Job) -> None:
        """Let those start that waited for it alone."""
        self._open.discard(job.key)
        for other in self._followers.get(job.key, ()):
            self._needs[other.key].discard(job.key)
            if not self._needs[other.key]:
                heapq.heappush(self._ready, self._places[other.key])

    def failed(self, job: Job, message: str) -> Iterator[Failed]:
        """The failure, and those of the jobs that needed it."""
        if job.key not in self._open:  # by another job that it needed
            return
        self._open.discard(job.key)
        yield Failed(job, message)
        for other in self._followers.get(job.key, ()):
            yield from self.failed(other, NEEDED)

    def died(self, job: Job, message: str) -> Iterator[Progress | Failed]:
        """A job whose worker is gone: it is begun again, before all others, or has failed."""
        self._deaths[job.key] += 1
        yield from self._again(job, message, self._deaths[job.key], TRIES)

    def lost(self, job: Job) -> Iterator[Progress | Failed]:
        """A job whose machine is gone, which says little about the job: as `died`, more often."""
        self._losses[job.key] += 1
        yield from self._again(job, "its machine was lost", self._losses[job.key], LOSSES)

    def _again(self, job: Job, message: str, times: int, most: int) -> Iterator[Progress | Failed]:
        if times < most:
            heapq.heappush(self._ready, self._places[job.key])
            yield Progress(job, 0.0)
        else:
            yield from self.failed(job, f"{message}, {most} times")
