"""A small study whose second training does what its mood says, and the command that runs it."""

import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unfooled import catalog, cli, publishing, store
from unfooled.report import Report

JOBS = 8  # two recipes, one seed: training, attack, probes, pictures

_MINE = """
import os
import signal
import time
from pathlib import Path

HOME = Path(__file__).parent


def odd(images):
    mood = (HOME / "mood").read_text()
    if len(images) <= 8 or not mood:  # only tried out
        return images
    if mood == "memory":
        raise MemoryError("cannot allocate 9 GB")
    if mood == "die once" and not (HOME / "reached").exists():
        (HOME / "reached").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if mood == "hang":
        (HOME / "pid").write_text(str(os.getpid()))
        (HOME / "pid").rename(HOME / "reached")  # whole as soon as it is there
        time.sleep(10_000)
    return images
"""
_STUDY = """
dataset = "toys:striped"
model = "toys:pyramid"
seeds = 1
answer_eps = 0.1
plan = {{ epochs = 2, batch_size = 40 }}
audit = {{ images = 4 }}
[recipes.plain]
[recipes.odd]
epochs = 1
transforms = [{{ name = "{own}:odd" }}]
[[attacks]]
name = "fgsm"
eps = [0.1]
images = 12
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is typed."""
    (tmp_path / "mine.py").write_text(_MINE)
    (tmp_path / "mood").write_text("")
    (tmp_path / "odd.toml").write_text(_STUDY.format(own=tmp_path / "mine.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publishing, "publish", _publish)
    return tmp_path


def _publish(made: Report, folder: Path) -> list[Path]:
    """The numbers alone, for the figures take seconds."""
    path = folder / "report" / "results.json"
    store.write(path, catalog.function("reports", "json")(made))
    return [path]


@pytest.fixture
def _serially(no_processes: None, unchecked: None) -> None:
    """In this process."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Types a command in this process, which has imported torch already; gives its exit code."""

    def typed(*arguments: str) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["unfooled", *arguments])
            patch.setattr(signal, "signal", lambda *_: None)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return int(ended.value.code or 0)

    return typed


@pytest.fixture
def study(command: Callable[..., int]) -> Callable[..., int]:
    """The command that runs the study into `run`, with more options."""
    return lambda *options: command(
        *("study", "odd.toml", "--out", "run", "--device", "cpu", "--workers", "1"), *options
    )


@pytest.fixture
def rows() -> Callable[[Path], set[tuple[object, ...]]]:
    """Name, hash and seconds of every finished job of a run. No two runs take equal seconds."""

    def read(folder: Path) -> set[tuple[object, ...]]:
        if not (folder / "ledger.sqlite").exists():
            return set()
        ledger = sqlite3.connect(folder / "ledger.sqlite")
        try:
            there = ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone()
            return set(ledger.execute("SELECT name, sha256, seconds FROM jobs")) if there else set()
        finally:
            ledger.close()

    return read
