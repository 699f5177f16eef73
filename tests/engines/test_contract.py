"""Every engine in `engines/` meets these tests by itself."""

import functools
import inspect
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys

from unfooled import catalog
from unfooled.engine import TRIES, Done, Event, Failed, Means, Progress, Weights
from unfooled.jobs import Job

Engine = Callable[..., Any]


def named(name: str) -> Any:
    """An engine as a parameter; to start a cluster takes long."""
    slow = "address" in catalog.options(catalog.function("engines", name))
    return pytest.param(name, marks=[pytest.mark.slow] * slow)


@pytest.fixture(scope="module", params=map(named, catalog.names("engines")))
def engine(request: pytest.FixtureRequest) -> Engine:
    found = catalog.function("engines", str(request.param))
    if "address" in catalog.options(found):  # of a cluster that is there
        return functools.partial(found, address=request.getfixturevalue("cluster").address)
    return found


LIMIT = 4.0  # seconds
FIRST, RAISES, LEAVES, INTERRUPTS, BREAKS, DIES, HANGS_UP = (
    toys.job("first"),
    toys.job("raises", "raise"),
    toys.job("leaves", "leave"),
    toys.job("interrupts", "interrupt"),
    toys.job("breaks", "break"),
    toys.job("dies", "die"),
    toys.job("hangs up", "hang up"),
)
JOBS = [
    FIRST,
    RAISES,
    LEAVES,
    INTERRUPTS,
    BREAKS,
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
    for event in engine(JOBS, toys.perform, weights_of, Means(workers=2)):
        events.append(event)
        if isinstance(event, Done):
            done.add(event.job.key)
    return events


def keys(told: list[Event], kind: type) -> set[str]:
    return {event.job.key for event in told if isinstance(event, kind)}


def test_every_engine_takes_the_same_things(engine: Engine) -> None:
    parameters = inspect.signature(engine).parameters
    assert list(parameters)[:4] == ["jobs", "perform", "weights_of", "means"]
    for option in list(parameters.values())[4:]:
        assert option.kind is inspect.Parameter.KEYWORD_ONLY
        assert option.default is not inspect.Parameter.empty


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
        *("raises", "leaves", "interrupts", "breaks", "dies", "hangs up"),
        *("after raises", "after dies", "after hangs up", "after both"),
    }
    assert len([event for event in told if isinstance(event, Failed)]) == 10


def test_a_failure_says_why(told: list[Event]) -> None:
    why = {event.job.key: event.message for event in told if isinstance(event, Failed)}
    assert why["raises"] == "ValueError: this job cannot be done"
    assert why["interrupts"] == "KeyboardInterrupt: by its own code"
    assert why["leaves"] == "SystemExit: 3"
    assert why["breaks"] == "BrokenPipeError: breaks wrote to nobody"
    assert f", {TRIES} times" in why["dies"]
    assert f", {TRIES} times" in why["hangs up"]
    assert why["after dies"] == "a job that it needs failed"


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
    events = engine(jobs, toys.perform, weights, Means(workers=1))
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
    assert list(engine([], toys.perform, weights, Means(workers=2))) == []


def test_a_job_whose_worker_dies_once_is_done_on_another(engine: Engine, tmp_path: Path) -> None:
    fragile = toys.job(str(tmp_path / "begun"), "die once")
    events = list(engine([fragile], toys.perform, weights, Means(workers=1)))
    (done,) = [event for event in events if isinstance(event, Done)]
    assert done.job == fragile
    assert not any(isinstance(event, Failed) for event in events)


def test_a_job_that_takes_too_long_is_stopped_and_the_rest_goes_on(engine: Engine) -> None:
    hangs = toys.job("hangs", "hang")
    jobs = [toys.job("first"), hangs, toys.job("after it", needs=(hangs,)), toys.job("last")]
    events = list(engine(jobs, toys.perform, weights, Means(workers=1, limit=LIMIT)))
    assert keys(events, Done) == {"first", "last"}
    why = {event.job.key: event.message for event in events if isinstance(event, Failed)}
    assert why == {
        "hangs": f"it was stopped, since it had taken more than {LIMIT:g} seconds",
        "after it": "a job that it needs failed",
    }
    assert multiprocessing.active_children() == []
