"""One job after the other in this very process: for networks that no other process could load.

Not one of the `engines/`, which promise that a job cannot take the run down with it.
"""

import time
from collections.abc import Generator, Sequence

from unfooled.engine import Done, Event, Failed, Perform, Progress, WeightsOf
from unfooled.errors import UnfooledError
from unfooled.jobs import Job


def in_process(
    jobs: Sequence[Job],
    perform: Perform,
    weights_of: WeightsOf,
    *,
    workers: int,  # noqa: ARG001
) -> Generator[Event, None, None]:
    """Every job, with as many threads as this process has; `workers` means nothing here."""
    failed: set[str] = set()
    for job in jobs:
        if failed & {one.key for one in job.needs}:
            failed.add(job.key)
            yield Failed(job, "the job that it needs failed")
            continue
        yield Progress(job, 0.0)
        start = time.perf_counter()
        try:
            content = perform(job, weights_of(job), lambda _: None)
        except UnfooledError as error:
            failed.add(job.key)
            yield Failed(job, str(error))
        except Exception as error:  # whatever a user's network raises
            failed.add(job.key)
            yield Failed(job, f"{type(error).__name__}: {error}")
        else:
            yield Done(job, content, time.perf_counter() - start)
