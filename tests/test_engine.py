import pytest
import toys

from unfooled import engine
from unfooled.engine import TRIES, Agenda, Failed, Progress
from unfooled.errors import InvalidOption, UnknownName

A, B = toys.job("a"), toys.job("b")
BOTH = toys.job("both", needs=(A, B))
LATER = toys.job("later", needs=(BOTH, A))


def test_jobs_start_in_their_order_as_soon_as_what_they_need_is_done() -> None:
    agenda = Agenda([LATER, A, B, BOTH])
    assert [agenda.next(), agenda.next(), agenda.next()] == [A, B, None]
    agenda.done(B)
    assert agenda.next() is None
    agenda.done(A)
    assert [agenda.next(), agenda.next()] == [BOTH, None]
    agenda.done(BOTH)
    assert agenda.next() == LATER
    assert agenda.open
    agenda.done(LATER)
    assert not agenda.open


def test_what_was_done_before_is_waited_for_by_nobody() -> None:
    assert Agenda([BOTH]).next() == BOTH


def test_a_failure_takes_all_that_need_it_once() -> None:
    agenda = Agenda([A, B, BOTH, LATER])
    told = list(agenda.failed(A, "no reason"))
    assert told == [
        Failed(A, "no reason"),
        Failed(BOTH, "a job that it needs failed"),
        Failed(LATER, "a job that it needs failed"),
    ]
    assert [agenda.next(), agenda.next()] == [B, None]
    agenda.done(B)
    assert agenda.next() is None
    assert not agenda.open


def test_a_job_whose_worker_died_is_begun_again_before_all_others_and_then_fails() -> None:
    agenda = Agenda([A, B])
    assert agenda.next() == A
    for _ in range(TRIES - 1):
        assert list(agenda.died(A, "it died")) == [Progress(A, 0.0)]
        assert agenda.next() == A
    assert list(agenda.died(A, "it died")) == [Failed(A, f"it died, {TRIES} times")]
    assert [agenda.next(), agenda.next()] == [B, None]


def test_an_engine_is_found_by_its_name_with_its_own_options_alone() -> None:
    assert isinstance(engine.find("local"), engine.Engine)
    with pytest.raises(UnknownName, match="locl"):
        engine.find("locl")
    with pytest.raises(InvalidOption, match="local has no option 'address'"):
        engine.find("local", address="auto")


def test_there_is_room_for_a_job_a_core_or_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.places("cpu") == engine.cores() >= 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3,5")
    assert engine.places("cuda") == 3
