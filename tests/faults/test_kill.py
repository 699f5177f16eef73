"""A run that is killed at any moment goes on, and ends where an unbroken run ends."""

import json
import random
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
import toys
from filelock import FileLock

from unfooled import provenance, report, run
from unfooled.recipe import Plan
from unfooled.study import Audit, Study

pytestmark = pytest.mark.slow

Rows = Callable[[Path], set[tuple[object, ...]]]

KILLS = 25
KILLS_WITH_WORKERS = 2


def own_data(folder: Path, body: str) -> str:
    """A user's own data set, in a file of theirs."""
    (folder / "mine.py").write_text(body)
    return f"{folder / 'mine.py'}:striped"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """18 jobs, of which some train against an attack and some with random transformations."""
    plan = Plan(epochs=6, batch_size=20, learning_rate=0.01)
    plain, flips = toys.study().recipes
    return toys.study(
        dataset=own_data(tmp_path, "from toys import striped\n"),
        seeds=2,
        recipes=(
            replace(plain, plan=plan, defence=("adversarial", {"eps": 0.1})),
            replace(flips, plan=plan, transforms=(("GaussianNoise", {"sigma": 0.1}),)),
        ),
    )


def told(folder: Path) -> str:
    """All numbers of a finished run."""
    study, _ = provenance.asked(folder)
    found = report.gather(folder, allow=provenance.code(study))
    return json.dumps(asdict(found.results))


def started(
    processes: ForkServerContext, study: Study, folder: Path
) -> tuple[ForkServerProcess, Connection]:
    """A process that does the run, and a pipe that tells when its first job begins."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=toys.run_serially, args=(study, folder, theirs))
    process.start()
    theirs.close()
    return process, ours


def test_killed_25_times_a_run_ends_as_an_unbroken_one(
    tmp_path: Path, study: Study, processes: ForkServerContext, rows: Rows
) -> None:
    process, begun = started(processes, study, tmp_path / "whole")
    begun.recv()
    start = time.monotonic()
    process.join()
    length = time.monotonic() - start
    expected = told(tmp_path / "whole")
    # Two recipes and two seeds: trainings, probes, two attacks each; and pictures of one seed.
    assert len(rows(tmp_path / "whole")) == 4 + 4 + 8 + 2

    chance, kills, ended, finished = random.Random(0), 0, 0, set[tuple[object, ...]]()
    while kills < KILLS or finished or not ended:
        folder = tmp_path / f"broken {ended}"
        process, begun = started(processes, study, folder)
        if kills < KILLS:
            if chance.random() < 0.8:  # else it may be killed while it sets out
                begun.recv()
            process.join(chance.uniform(0, length / 2))
            process.kill()
        process.join()
        assert finished <= rows(folder), "a job that was finished was done again"
        finished = rows(folder)
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            assert told(folder) == expected
            assert {row[:2] for row in finished} == {row[:2] for row in rows(tmp_path / "whole")}
            ended, finished = ended + 1, set()


def test_killed_with_its_workers_a_run_ends_as_an_unbroken_one(
    tmp_path: Path, processes: ForkServerContext, rows: Rows
) -> None:
    study = toys.study(
        dataset=own_data(tmp_path, "from toys import striped\n"), audit=Audit(images=4)
    )
    whole, _ = started(processes, study, tmp_path / "whole")
    whole.join()
    finished = set[tuple[object, ...]]()
    for kill in range(KILLS_WITH_WORKERS):
        driver = processes.Process(target=toys.run_in_workers, args=(study, tmp_path / "run"))
        driver.start()
        while driver.is_alive() and len(rows(tmp_path / "run")) < 5 * (kill + 1):
            time.sleep(0.02)
        driver.kill()
        driver.join()
        assert driver.exitcode == -signal.SIGKILL
        assert finished <= rows(tmp_path / "run"), "a job that was finished was done again"
        finished = rows(tmp_path / "run")
    driver = processes.Process(target=toys.run_in_workers, args=(study, tmp_path / "run"))
    driver.start()
    driver.join()
    assert driver.exitcode == 0
    assert finished <= rows(tmp_path / "run")
    assert told(tmp_path / "run") == told(tmp_path / "whole")


HELD = """
import os
from pathlib import Path

from filelock import FileLock

import toys

_alive = FileLock(Path(__file__).with_name(f"{os.getpid()}.alive"))


def striped(*, folder):
    _alive.acquire()
    return toys.striped()
"""


def test_workers_end_with_their_killed_driver_and_another_run_can_go_on(
    tmp_path: Path, processes: ForkServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = Plan(epochs=10**6, batch_size=20, learning_rate=0.01)
    plain = replace(toys.study().recipes[0], plan=endless)
    study = toys.study(dataset=own_data(tmp_path, HELD), recipes=(plain,))
    driver = processes.Process(target=toys.run_in_workers, args=(study, tmp_path / "run"))
    driver.start()
    # Each process that has read the data, the driver first, holds a lock as long as it lives.
    while driver.is_alive() and len(alive := sorted(tmp_path.glob("*.alive"))) < 3:
        time.sleep(0.05)
    driver.kill()
    driver.join()
    assert driver.exitcode == -signal.SIGKILL
    for path in alive:
        with FileLock(path, timeout=60):
            assert path.exists()

    monkeypatch.setattr("unfooled.engines.local.local", lambda *_, **__: (one for one in ()))
    assert run.run(study, tmp_path / "run", device="cpu") == []
