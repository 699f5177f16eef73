import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest
import toys

from unfooled.engine import Done, Failed, Means, Weights
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
    begun = ("begun", None)
    assert kinds == [
        *(begun, ("progress", 0.25), ("done", b"content")),
        *(begun, ("progress", 0.25)),
    ]
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


def test_workers_that_died_while_they_waited_cost_no_job_a_try() -> None:
    events = home.local(
        [JOB, toys.job("b"), toys.job("c", needs=(JOB, toys.job("b")))],
        toys.perform,
        lambda _: (),
        Means(workers=2),
    )
    told = []
    for event in events:
        told.append(event)
        if isinstance(event, Done) and sum(isinstance(one, Done) for one in told) == 2:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
    assert sum(isinstance(one, Done) for one in told) == 3
    assert not any(isinstance(one, Failed) for one in told)


def test_a_job_that_is_done_in_time_is_not_stopped_because_the_driver_was_busy() -> None:
    events = home.local([JOB, toys.job("b")], toys.perform, lambda _: (), Means("cpu", 2, 3.0))
    told = []
    for event in events:
        told.append(event)
        if len(told) == 1:  # it keeps a large file, say
            time.sleep(4)
    assert not any(isinstance(one, Failed) for one in told)


STARTS = """
import toys
from unfooled.engine import Failed, Means
from unfooled.engines.local import local

for event in local([toys.job("a")], toys.perform, lambda _: (), Means(workers=1)):
    if isinstance(event, Failed):
        print(event.message)
"""


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(STARTS)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(toys.__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'does so under `if __name__ == "__main__":`' in done.stdout
