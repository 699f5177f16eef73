import contextlib
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from unfooled import ledger, store
from unfooled.errors import RunRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with two finished jobs."""
    with store.opened(tmp_path / "run", {}) as known:
        known.put("first", "a", "train", b"one", 1.5)
        known.put("second", "b", "attack", b"two", 0.5)
    return tmp_path / "run"


def read_everything(folder: Path) -> None:
    """By each way into a ledger; all refuse, or none does."""
    with pytest.raises(RunRefused) as raised:
        store.files(folder)
    with pytest.raises(RunRefused), store.opened(folder, {}):
        pass
    assert store.recorded(folder / "models" / "a.safetensors") is None
    assert "\n" not in str(raised.value)


def done(folder: Path, *commands: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / ledger.NAME)) as known:
        for command in commands:
            known.execute(command)
        known.commit()


@pytest.mark.parametrize(
    "commands",
    [
        # Asked for its rows, this would never come to an end.
        (
            "ALTER TABLE jobs RENAME TO old",
            "CREATE VIEW jobs AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
            " SELECT x AS key, x AS name, x AS file, x AS sha256, 0.5 AS seconds FROM c",
        ),
        ("CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM jobs; END",),
        ("CREATE TABLE other (a)",),
        ("DROP TABLE jobs", "CREATE TABLE jobs (key, name, file, sha256, seconds)"),
    ],
)
def test_a_ledger_that_is_more_than_a_table_of_jobs_is_refused(
    folder: Path, commands: tuple[str, ...]
) -> None:
    done(folder, *commands)
    read_everything(folder)


@pytest.mark.parametrize(
    "change",
    [
        *("file = '../../secret'", "file = '/etc/passwd'", "file = 'models/../../x.json'"),
        *(
            "name = '../x', file = 'models/../x.json'",
            "file = 'facts/b.txt'",
            "file = 'facts/c.npz'",
        ),
        *("name = 'x' || char(0), file = 'models/x' || char(0) || '.json'", "file = x'00ff'"),
        *("seconds = -1", "seconds = 9e999", "seconds = 'long'", "sha256 = x'00'"),
    ],
)
def test_a_row_whose_file_lies_elsewhere_or_that_is_none_is_refused(
    folder: Path, change: str
) -> None:
    done(folder, f"UPDATE jobs SET {change} WHERE key = 'second'")
    read_everything(folder)


@pytest.mark.parametrize("part", ledger.PARTS)
def test_nothing_is_written_where_a_link_leads(folder: Path, tmp_path: Path, part: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(folder / part)
    (folder / part).symlink_to(outside)
    read_everything(folder)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", [ledger.NAME, f"{ledger.NAME}-journal", f"{ledger.NAME}-shm"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_links_and_pipes_in_the_place_of_files_are_not_opened(
    folder: Path, name: str, make: Callable[[Path], object]
) -> None:
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    read_everything(folder)


def test_no_file_that_a_journal_names_is_removed(folder: Path, tmp_path: Path) -> None:
    """SQLite removes what it takes for the journal of several databases, by its name alone."""
    named, path = tmp_path / "thesis.tex", folder / ledger.NAME
    named.write_text("years of work")
    whole = path.read_bytes()
    known = sqlite3.connect(path)
    known.execute("PRAGMA cache_size = 1")
    known.execute("UPDATE jobs SET sha256 = 'other'")
    known.execute("PRAGMA cache_spill = 1")
    known.executemany(
        "INSERT INTO jobs VALUES (?, 'c', 'd', 'e', 1.0, 1)", ((str(n) * 9,) for n in range(2000))
    )
    hot = (folder / f"{ledger.NAME}-journal").read_bytes()
    known.rollback()
    known.close()
    word = str(named).encode()
    tail = struct.pack(">I", 2**30 // 4096 + 1) + word
    tail += struct.pack(">II", len(word), sum(word)) + bytes.fromhex("d9d505f920a163d7")
    path.write_bytes(whole)
    (folder / f"{ledger.NAME}-journal").write_bytes(hot + tail)
    read_everything(folder)
    assert named.read_text() == "years of work"
    other = sqlite3.connect(path)
    with contextlib.closing(other), contextlib.suppress(sqlite3.Error):
        other.execute("SELECT * FROM jobs").fetchall()  # SQLite by itself does
    assert not named.exists()


def test_a_journal_of_its_own_last_transaction_is_rolled_back(folder: Path) -> None:
    known = sqlite3.connect(folder / ledger.NAME)
    known.execute("UPDATE jobs SET seconds = 9")
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    known.rollback()
    known.close()
    assert (copy / f"{ledger.NAME}-journal").exists()
    with store.opened(copy, {}) as again:
        assert again.seconds() == 2.0
