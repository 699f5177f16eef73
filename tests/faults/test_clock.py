"""A clock that jumps by years while a run is at work changes nothing."""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., int]
YEARS = 3e8  # seconds: ten of them


@pytest.mark.slow
@pytest.mark.usefixtures("_serially")
def test_a_clock_that_jumps_changes_no_number(
    home: Path,
    study: Command,
    rows: Callable[[Path], set[tuple[object, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert study() == 0
    (home / "run").rename(home / "calm")
    jumps, real = itertools.cycle([0.0, YEARS, -YEARS]), time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + next(jumps))
        patch.setattr(time, "time_ns", lambda: int(1e9 * time.time()))
        assert study() == 0
    assert {row[:2] for row in rows(home / "run")} == {row[:2] for row in rows(home / "calm")}
    assert all(row[2] >= 0 for row in rows(home / "run"))
    finished = rows(home / "run")
    for path in (home / "run").rglob("*.*"):  # files of the far past, and of the future
        moment = next(jumps) + YEARS
        os.utime(path, (moment, moment))
    assert study() == 0
    assert rows(home / "run") == finished
