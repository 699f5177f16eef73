"""Whoever asks a run to end is obeyed at once, and nothing is lost."""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import toys
from filelock import FileLock

from unfooled import cli
from unfooled.terminal import Interrupted

WORDS = ["study", "odd.toml", "--out", "run", "--device", "cpu", "--workers", "1"]


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "hung up"),
    ],
)
def test_a_run_that_is_told_to_end_says_how_to_go_on(
    home: Path,
    processes: ForkServerContext,
    rows: Callable[[Path], set[tuple[object, ...]]],
    number: signal.Signals,
    code: int,
    word: str,
) -> None:
    (home / "mood").write_text("hang")
    process = processes.Process(target=toys.command, args=(WORDS, home))
    process.start()
    while process.is_alive() and not (home / "reached").exists():
        time.sleep(0.02)
    assert process.is_alive()
    finished = rows(home / "run")
    assert {name for name, *_ in finished} == {"plain-0"}
    os.kill(process.pid or 0, number)
    process.join()
    assert process.exitcode == code
    said = (home / "errors").read_text().split("\n")
    assert said == [
        "",
        f"unfooled: {word}. What was finished is kept in run; the same command goes on from there.",
        "",
    ]
    assert rows(home / "run") == finished
    assert not list((home / "run").rglob("*.part"))
    with FileLock(home / "run" / ".lock", blocking=False):
        pass


def test_workers_end_with_their_driver(home: Path, processes: ForkServerContext) -> None:
    (home / "mood").write_text("hang")
    driver = processes.Process(target=toys.command_in_workers, args=(WORDS, home))
    driver.start()
    while driver.is_alive() and not (home / "reached").exists():
        time.sleep(0.02)
    worker = int((home / "reached").read_text())
    os.kill(worker, 0)
    os.kill(driver.pid or 0, signal.SIGTERM)
    driver.join()
    assert driver.exitcode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_second_signal_does_not_disturb_the_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to = dict[int, object]()
    monkeypatch.setattr(signal, "signal", lambda number, way: set_to.update({number: way}))
    with pytest.raises(Interrupted, match="terminated") as ended:
        cli._interrupt(signal.SIGTERM, None)
    assert ended.value.code == 143
    assert set_to == {
        signal.SIGINT: signal.SIG_DFL,
        signal.SIGTERM: signal.SIG_IGN,
        signal.SIGHUP: signal.SIG_IGN,
    }


def test_what_nohup_switched_off_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to = set[int]()
    monkeypatch.setattr("sys.argv", ["unfooled", "--version"])
    monkeypatch.setattr(signal, "signal", lambda number, _: set_to.add(number))
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    with pytest.raises(SystemExit):
        cli.main()
    assert set_to == {signal.SIGINT}
