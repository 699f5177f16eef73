"""A job that does not end well is a hole in the report and exit code 1, never a number."""

import json
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from unfooled.engines import local

Command = Callable[..., int]


def holes(home: Path) -> list[str]:
    """What the report has no number for."""
    return list(json.loads((home / "run/report/results.json").read_bytes())["missing"])


@pytest.mark.usefixtures("_serially")
def test_a_job_without_memory_is_a_hole(
    home: Path, study: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "mood").write_text("memory")
    assert study() == 1
    assert (
        "odd-0 failed: memory has no room for training on batches of 40 images"
        in capsys.readouterr().err
    )
    assert holes(home) == ["odd-0"]
    (home / "mood").write_text("")
    assert study() == 0
    assert holes(home) == []


def test_a_job_that_hangs_is_stopped_and_a_hole(
    home: Path,
    study: Command,
    processes: ForkServerContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "mood").write_text("hang")
    # A clock that stands still until the job hangs, so that no machine is too slow for the others.
    monkeypatch.setattr(local, "time", type("Clock", (), dict(vars(time))))
    passed, reached = time.monotonic, home / "reached"
    local.time.monotonic = lambda: (1e6 + passed()) * reached.exists()  # type: ignore[method-assign]
    assert study("--time-limit", "0.5") == 1
    said = capsys.readouterr().err
    assert "odd-0 failed: it was stopped, since it had taken more than 0.5 seconds" in said
    assert holes(home) == ["odd-0"]


@pytest.mark.slow
def test_a_job_whose_worker_dies_is_done_again(
    home: Path,
    study: Command,
    rows: Callable[[Path], set[tuple[object, ...]]],
    processes: ForkServerContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home / "mood").write_text("die once")
    assert study() == 0
    assert (home / "reached").exists()
    assert holes(home) == []
    dead = {row[:2] for row in rows(home / "run")}
    (home / "run").rename(home / "with a death")
    assert study() == 0
    assert {row[:2] for row in rows(home / "run")} == dead


@pytest.mark.parametrize("limit", ["0", "-1", "nan"])
def test_a_limit_that_is_no_time_is_refused_in_one_line(
    home: Path, study: Command, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    assert study("--time-limit", limit) == 2
    said = capsys.readouterr().err
    assert f"the time limit must be more than 0 seconds, not {limit}" in said
    assert len(said.splitlines()) == 1
    assert not (home / "run").exists()


@pytest.mark.usefixtures("_serially")
@pytest.mark.parametrize(("file", "lost"), [("odd-0-0-fgsm-Linf", ["odd-0"]), ("odd-0-probed", [])])
def test_facts_that_were_damaged_since_are_a_hole_and_are_done_again(
    home: Path, study: Command, file: str, lost: list[str]
) -> None:
    assert study() == 0
    path = home / "run" / "facts" / f"{file}.npz"
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    assert study() == 1
    assert holes(home) == lost
    assert study() == 0
    assert path.read_bytes() == whole
