"""The ledger of a run's folder, opened with care: the folder may come from anybody.

A file of SQLite can hold more than rows: views and triggers that run when a table is asked, and
journals beside it, whose names and contents lead elsewhere. A ledger of ours has one table, rows
whose files lie in the folder, and at most the journal of its own last transaction.
"""

import contextlib
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unfooled.errors import RunRefused

NAME = "ledger.sqlite"
_SCHEMA = """CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
    seconds REAL NOT NULL)"""
_OURS = {_SCHEMA.replace(" IF NOT EXISTS", ""), None}  # and an index, which has no words
# The file of a job is named by the job, and no name leads out of the folder.
_FORGED = r"""SELECT count(*) FROM jobs WHERE coalesce(NOT (
    typeof(key) = 'text' AND typeof(name) = 'text' AND typeof(file) = 'text'
    AND typeof(sha256) = 'text' AND typeof(seconds) = 'real' AND seconds BETWEEN 0 AND 1e12
    AND instr(name, '/') = 0 AND instr(name, '\') = 0 AND instr(name, char(0)) = 0
    AND file IN ('models/' || name || '.safetensors', 'models/' || name || '.json',
                 'facts/' || name || '.npz')), 1)"""
_MAGIC = bytes.fromhex("d9d505f920a163d7")  # of SQLite's journals
PARTS = ("models", "facts", "report", "report/figures")


@contextmanager
def written(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a folder, made where there is none.

    Raises:
        RunRefused: it is none of ours.
        sqlite3.Error: it is damaged, or cannot be written.
    """
    looked_at(folder)
    with contextlib.closing(sqlite3.connect(folder / NAME)) as ledger:
        ledger.execute(_SCHEMA)
        _sound(folder, ledger)
        yield ledger


@contextmanager
def readable(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a folder, which is only read, whoever is at work in it; refuses as `written`.

    Raises:
        sqlite3.Error: there is none, too.
    """
    looked_at(folder)
    place = f"{(folder / NAME).absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(place, uri=True)) as ledger:
        _sound(folder, ledger)
        yield ledger


def looked_at(folder: Path) -> None:
    """Let only a folder pass whose parts are what they are called, before any is opened.

    Raises:
        RunRefused: a part is a link, a pipe, or a file of SQLite's that is none of ours.
    """
    for part in PARTS:
        if (folder / part).is_symlink():
            raise RunRefused(f"{folder / part} is a link, and leads out of the run's folder")
    for ending in ("", "-journal"):
        path = folder / f"{NAME}{ending}"
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise RunRefused(f"{path} is no regular file")
    for ending in ("-wal", "-shm"):
        if (folder / f"{NAME}{ending}").is_symlink() or (folder / f"{NAME}{ending}").exists():
            raise RunRefused(f"{folder / NAME}{ending} belongs to no ledger of ours")
    journal = folder / f"{NAME}-journal"
    with contextlib.suppress(FileNotFoundError):
        # Of several databases in one transaction, with the name of a file that SQLite would delete.
        if journal.read_bytes().endswith(_MAGIC):
            raise RunRefused(f"{journal} is of several databases, and none of ours")


def _sound(folder: Path, ledger: sqlite3.Connection) -> None:
    """Whether it holds our table and nothing else, and rows that can be."""
    found = {sql for (sql,) in ledger.execute("SELECT sql FROM sqlite_master")}
    if not found <= _OURS:
        raise RunRefused(f"{folder / NAME} holds more than a ledger; choose another by --out")
    if ledger.execute(_FORGED).fetchone()[0]:
        raise RunRefused(f"{folder / NAME} has rows that no run wrote; choose another by --out")
