"""The ledger of a run's folder: a row for each finished job, and what all of them were made with.

It is a file of SQLite whose `user_version` says how it is laid out. One that an older unfooled
left is brought up to date when its folder is opened; one of a newer unfooled is refused.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from unfooled import __version__
from unfooled.errors import RunRefused

VERSION = 1  # 0 had neither sizes nor makers
NAME = "ledger.sqlite"
PATIENCE = 5.0  # seconds to wait for another program that writes to it
_JOBS = """CREATE TABLE jobs (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
    seconds REAL NOT NULL, size INTEGER NOT NULL)"""
_MAKER = "CREATE TABLE maker (what TEXT PRIMARY KEY, value TEXT NOT NULL)"


@contextmanager
def writable(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a folder, made or brought up to date.

    Raises:
        RunRefused: it is of a newer unfooled, or empty beside files.
        sqlite3.Error: it is damaged, held by another program, or cannot be written.
    """
    with contextlib.closing(sqlite3.connect(folder / NAME, timeout=PATIENCE)) as ledger:
        if _version(ledger, folder) < VERSION:
            _renew(ledger, folder)
        yield ledger


@contextmanager
def readable(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a folder as it is, while a run may be at work.

    Raises:
        RunRefused: it is of a newer unfooled.
        sqlite3.Error: there is none, or it is damaged.
    """
    path = f"{(folder / NAME).resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, timeout=PATIENCE)) as ledger:
        _version(ledger, folder)
        yield ledger


def check_maker(ledger: sqlite3.Connection, folder: Path, maker: Mapping[str, str]) -> None:
    """Let a run go on only with what its finished jobs were made with, and note that.

    Args:
        ledger: of the folder.
        folder: of the run.
        maker: what decides the results of every job, such as versions and the device, by name.

    Raises:
        RunRefused: there are finished jobs, and something is not what they were made with.
    """
    known = dict(ledger.execute("SELECT what, value FROM maker"))
    finished, seconds = ledger.execute("SELECT count(*), total(seconds) FROM jobs").fetchone()
    if finished:
        differing = [
            f"{what}: {known[what][:24]} there, {value[:24]} now"
            for what, value in maker.items()
            if known.get(what, value) != value
        ]
        if differing:
            raise RunRefused(
                f"{folder} holds {finished} finished jobs ({_took(seconds)}) that were made with "
                f"something else ({'; '.join(differing)}), so that new ones would not be "
                "comparable. Nothing in it was changed: choose another folder by --out, or go on "
                f"there with what it was made with; `unfooled report {folder}` works on"
            )
    with ledger:
        ledger.executemany("INSERT OR REPLACE INTO maker VALUES (?, ?)", maker.items())


def _took(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.0f} seconds"


def _version(ledger: sqlite3.Connection, folder: Path) -> int:
    version = int(ledger.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        maker = _environment(folder).get("unfooled", "")
        raise RunRefused(
            f"{folder} was made by {f'unfooled {maker}' if maker else 'a newer unfooled'}, which "
            f"keeps runs in form {version}; this is unfooled {__version__}, which knows forms up "
            f"to {VERSION}. Take that version for this folder, or choose another folder by --out"
        )
    return version


def _renew(ledger: sqlite3.Connection, folder: Path) -> None:
    """To the present form, in one transaction."""
    ledger.execute("BEGIN IMMEDIATE")
    with ledger:
        tables = {name for (name,) in ledger.execute("SELECT name FROM sqlite_master")}
        if "jobs" not in tables and any((folder / "models").glob("[!.]*.*")):
            raise RunRefused(
                f"the ledger in {folder} is empty or gone, so that nothing tells which files there "
                "are whole; choose another folder by --out, or remove this one"
            )
        old = ledger.execute("SELECT * FROM jobs").fetchall() if "jobs" in tables else []
        ledger.execute("DROP TABLE IF EXISTS jobs")
        ledger.execute(_JOBS)
        ledger.execute(_MAKER)
        rows = [(*row, _size(folder / row[2])) for row in old]
        ledger.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", rows)
        if old:
            made = _environment(folder).items()
            ledger.executemany("INSERT INTO maker VALUES (?, ?)", made)
        ledger.execute(f"PRAGMA user_version = {VERSION}")


def _size(path: Path) -> int:
    """Of a file in bytes; -1, which no file has, where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _environment(folder: Path) -> dict[str, str]:
    """What the folder's last run was made with, as `jobs.maker` names it, as far as it tells."""
    try:
        told = json.loads((folder / "environment.json").read_bytes())
        device = told["device"] if told["device"] == "cpu" else "cuda"
        made = {**told["packages"], "device": device, "data": told["data"]["sha256"]}
        return {"unfooled": str(told["unfooled"]), **made}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
