"""One job after the other in this very process: for networks that no other process could load.

Not one of the `engines/`, which promise that a job cannot take the run down with it.
"""

from collections.abc import Generator, Sequence

from unfooled.engine import Agenda, Done, Event, Means, Perform, Progress, WeightsOf, outcome
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
        kind, value, seconds = outcome(perform, job, weights_of(job), lambda _: None)
        if kind == "failed":
            yield from agenda.failed(job, value)
        else:
            yield Done(job, value, seconds)
            agenda.done(job)
