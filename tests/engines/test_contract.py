"""Every engine in `engines/` meets these tests by itself."""

import inspect
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest
import toys

from unfooled import catalog
from unfooled.engine import Done, Event, Failed, Progress, Weights
from unfooled.jobs import Job

Engine = Callable[..., Any]


@pytest.fixture(scope="module", params=catalog.names("engines"))
def engine(request: pytest.FixtureRequest) -> Engine:
    return catalog.function("engines", str(request.param))


FIRST, RAISES, DIES, HANGS_UP = (
    toys.job("first"),
    toys.job("raises", "raise"),
    toys.job("dies", "die"),
    toys.job("hangs up", "hang up"),
)
JOBS = [
    FIRST,
    RAISES,
    DIES,
    HANGS_UP,
    toys.job("alone"),
    toys.job("after first", needs=(FIRST,)),
    toys.job("after raises", needs=(RAISES,)),
    toys.job("after dies", needs=(DIES,)),
    toys.job("after hangs up", needs=(HANGS_UP,)),
    toys.job("after both", needs=(FIRST, RAISES)),
    toys.job("last"),
]


def weights(job: Job) -> Weights:
    return tuple(f"weights of {one.key}".encode() for one in job.needs)


@pytest.fixture(scope="module")
def told(engine: Engine) -> list[Event]:
    """All that is told about jobs of which some fail, on two workers."""
    done: set[str] = set()

    def weights_of(job: Job) -> Weights:
        assert {one.key for one in job.needs} <= done
        return weights(job)

    events = []
    for event in engine(JOBS, toys.perform, weights_of, workers=2):
        events.append(event)
        if isinstance(event, Done):
            done.add(event.job.key)
    return events


def keys(told: list[Event], kind: type) -> set[str]:
    return {event.job.key for event in told if isinstance(event, kind)}


def test_every_engine_takes_the_same_things(engine: Engine) -> None:
    parameters = inspect.signature(engine).parameters
    assert list(parameters)[:4] == ["jobs", "perform", "weights_of", "workers"]
    assert parameters["workers"].kind is inspect.Parameter.KEYWORD_ONLY


def test_every_job_that_can_be_done_is_done_once_in_another_process(told: list[Event]) -> None:
    done = [event for event in told if isinstance(event, Done)]
    assert sorted(event.job.key for event in done) == ["after first", "alone", "first", "last"]
    for event in done:
        text = event.content.decode()
        assert text.startswith(f"{event.job.key} after {weights(event.job)!r} in ")
        assert int(text.split()[-1]) != os.getpid()
        assert event.seconds >= 0


def test_a_job_that_fails_takes_only_those_with_it_that_need_it(told: list[Event]) -> None:
    assert keys(told, Failed) == {
        *("raises", "dies", "hangs up"),
        *("after raises", "after dies", "after hangs up", "after both"),
    }
    assert len([event for event in told if isinstance(event, Failed)]) == 7


def test_a_failure_says_why(told: list[Event]) -> None:
    why = {event.job.key: event.message for event in told if isinstance(event, Failed)}
    assert why["raises"] == "ValueError: this job cannot be done"
    assert "died" in why["dies"]
    assert "died" in why["hangs up"]
    assert why["after dies"] == "the training that it needs failed"


def test_progress_is_told_before_the_end_of_a_job(told: list[Event]) -> None:
    kinds = [type(event) for event in told if event.job.key == "alone"]
    assert kinds == [Progress, Done]
    assert next(event.share for event in told if isinstance(event, Progress)) == 0.5


def test_no_process_is_left_at_the_end(told: list[Event]) -> None:
    assert told
    assert multiprocessing.active_children() == []


def test_one_worker_does_the_jobs_in_the_order_given_and_ends_when_nobody_listens(
    engine: Engine,
) -> None:
    jobs = [toys.job(name) for name in "cabd"]
    events = engine(jobs, toys.perform, weights, workers=1)
    done = []
    for event in events:
        if isinstance(event, Done):
            done.append(event)
        if len(done) == 3:
            break
    assert multiprocessing.active_children() != []
    events.close()
    assert [event.job.key for event in done] == ["c", "a", "b"]
    assert len({event.content.decode().split()[-1] for event in done}) == 1
    assert multiprocessing.active_children() == []


def test_without_jobs_nothing_is_started(engine: Engine) -> None:
    assert list(engine([], toys.perform, weights, workers=2)) == []
