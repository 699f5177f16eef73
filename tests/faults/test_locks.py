"""Two at one folder, locks of the dead, and ledgers that others hold."""

import errno
import fcntl
import os
import signal
import sqlite3
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import toys

from unfooled import ledger, store
from unfooled.errors import RunRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with one finished job."""
    with store.opened(tmp_path / "run", {}) as kept:
        kept.put("first", "a", "train", b"one", 1.0)
    return tmp_path / "run"


def test_a_second_run_is_refused_and_a_dead_one_leaves_no_lock(
    folder: Path, processes: ForkServerContext
) -> None:
    ours, theirs = processes.Pipe()
    first = processes.Process(target=toys.hold, args=(folder, theirs))
    first.start()
    theirs.close()
    assert ours.recv() == "held"
    with pytest.raises(RunRefused, match="another run is at work") as refused:
        store.opened(folder, {}).__enter__()
    assert len(str(refused.value).splitlines()) == 1
    assert first.is_alive()
    first.kill()
    first.join()
    assert (folder / ".lock").exists()
    with store.opened(folder, {}) as kept:
        assert kept.get("first") == b"one"


def test_a_journal_that_a_killed_run_left_is_rolled_back(
    folder: Path, processes: ForkServerContext
) -> None:
    killed = processes.Process(target=toys.die_in_a_transaction, args=(folder,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert (folder / "ledger.sqlite-journal").exists()
    for reading in (
        lambda: store.files(folder),
        lambda: store.recorded(folder / "models/a.safetensors"),
    ):
        with pytest.raises(RunRefused, match="killed while it wrote its ledger; `unfooled report"):
            reading()
    with store.opened(folder, {}) as kept:
        assert kept.finished() == {"first"}
        assert kept.named() == {"a": b"one"}
    assert not (folder / "ledger.sqlite-journal").exists()


def test_a_ledger_that_another_program_holds_is_told_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PATIENCE", 0.01)
    other = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    with store.opened(folder, {}) as kept:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunRefused, match="another program holds the ledger") as refused:
            kept.put("second", "b", "train", b"two", 1.0)
        assert len(str(refused.value).splitlines()) == 1
        other.execute("COMMIT")
        kept.put("second", "b", "train", b"two", 1.0)
        assert kept.named() == {"a": b"one", "b": b"two"}
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunRefused, match="another program holds the ledger"):
        store.opened(folder, {}).__enter__()
    with pytest.raises(RunRefused, match="cannot be read: database is locked"):
        store.files(folder)
    other.close()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunRefused, match=os.strerror(code)) as refused:
        store.opened(tmp_path / "run", {}).__enter__()
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("cut", [0, 1, 100, 4096, 5000])
def test_a_ledger_cut_short_is_told_in_one_line(folder: Path, cut: int) -> None:
    path = folder / "ledger.sqlite"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RunRefused, match="ledger") as refused, store.opened(folder, {}) as kept:
        kept.finished()
    assert len(str(refused.value).splitlines()) == 1
    assert (folder / "models/a.safetensors").read_bytes() == b"one"
