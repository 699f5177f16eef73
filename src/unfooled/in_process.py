"""One job after the other in this very process: for networks that no other process could load.

Not one of the `engines/`, which promise that a job cannot take the run down with it.
"""

import time
from collections.abc import Generator, Sequence

from unfooled.engine import Agenda, Done, Event, Means, Perform, Progress, WeightsOf
from unfooled.errors import UnfooledError
from unfooled.jobs import Job


def in_process(
    jobs: Sequence[Job],
    perform: Perform,
    weights_of: WeightsOf,
    means: Means,  # noqa: ARG001 - one job at a time, for as long as it takes
) -> Generator[Event, None, None]:
    """Every job, with as many threads as this process has."""
    agenda = Agenda(jobs)
    while (job := agenda.next()) is not None:
        yield Progress(job, 0.0)
        start = time.perf_counter()
        try:
            content = perform(job, weights_of(job), lambda _: None)
        except UnfooledError as error:
            yield from agenda.failed(job, str(error))
        except Exception as error:  # whatever a user's network raises
            yield from agenda.failed(job, f"{type(error).__name__}: {error}")
        else:
            yield Done(job, content, time.perf_counter() - start)
            agenda.done(job)
