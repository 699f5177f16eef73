import multiprocessing
import os
import signal
import struct
from multiprocessing import Pipe

import pytest
import toys

from unfooled.engine import Done, Means, Weights
from unfooled.engines import local as home
from unfooled.errors import JobFailed
from unfooled.jobs import Job

JOB = toys.job("a")


@pytest.fixture
def _signals_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.usefixtures("_signals_stay")
def test_a_worker_ends_when_its_driver_is_gone() -> None:
    ours, theirs = Pipe()
    ours.send((JOB, ()))
    ours.close()
    home._serve(theirs, toys.perform, dict(os.environ))
    theirs.close()


@pytest.mark.usefixtures("_signals_stay")
def test_a_worker_answers_with_progress_result_and_seconds() -> None:
    ours, theirs = Pipe()
    answers = []

    def perform(job: Job, weights: Weights, report) -> bytes:
        report(0.25)
        if weights == (b"bad",):
            raise JobFailed("as expected")
        ours.send((job, (b"bad",)))
        return b"content"

    def last(job: Job, weights: Weights, report) -> bytes:
        try:
            return perform(job, weights, report)
        finally:
            while ours.poll():
                answers.append(ours.recv())
            if weights == (b"bad",):
                ours.close()

    ours.send((JOB, (b"good",)))
    home._serve(theirs, last, dict(os.environ))
    kinds = [(kind, value) for kind, value, _ in answers]
    assert kinds == [("progress", 0.25), ("done", b"content"), ("progress", 0.25)]
    theirs.close()


@pytest.mark.parametrize(
    "last_words", [b"", struct.pack("!i", 1000) + b"cut short"], ids=["nothing", "half a message"]
)
def test_a_worker_that_dies_even_while_it_speaks_has_died(last_words: bytes) -> None:
    ours, theirs = Pipe()
    os.write(theirs.fileno(), last_words)
    theirs.close()
    gone = multiprocessing.get_context("spawn").Process(target=os.getpid)
    gone.start()
    kind, said, _ = home._Worker(gone, ours, 0, JOB, 0.0).heard()
    assert (kind, said) == ("died", "its worker process died")
    assert ours.closed


def test_each_worker_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    jobs = [toys.job(name, "gpu") for name in "abcd"]
    found = list(home.local(jobs, toys.perform, lambda _: (), Means("cuda")))
    seen = {event.content.decode() for event in found if isinstance(event, Done)}
    assert {one.partition(" in ")[0] for one in seen} <= {"5", "7"}
    assert len({one.partition(" in ")[2] for one in seen}) == len(seen) <= 2
