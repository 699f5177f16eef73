"""What an engine is: it takes jobs and a way to do them, and tells what happens.

Every file in `engines/` holds a function of its own name:

    def name(jobs, perform, weights_of, *, workers) -> Generator[Event, None, None]

`jobs` come in the order in which they should start. `perform` is sent to each worker once and
called there. A job that needs others is started after their `Done` was taken by the caller, with
what `weights_of` returns for it. The caller alone writes.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from unfooled.jobs import Job

Weights = tuple[bytes | None, ...]  # the files of the jobs that a job needs, in their order
Perform = Callable[[Job, Weights, Callable[[float], None]], bytes]
WeightsOf = Callable[[Job], Weights]


@dataclass(frozen=True)
class Progress:
    """A running job and the share of it that is done."""

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


@runtime_checkable
class Engine(Protocol):
    """A way to have jobs done, see this file's docstring."""

    def __call__(
        self, jobs: Sequence[Job], perform: Perform, weights_of: WeightsOf, /, *, workers: int
    ) -> Generator[Event, None, None]:
        """What happens, until every job is done or has failed."""
