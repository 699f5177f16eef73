"""The ledger of a run's folder: a row for each finished job, and what all of them were made with.

It is a file of SQLite whose `user_version` says how it is laid out. One that an older unfooled left
is brought up to date when its folder is opened; one of a newer unfooled is refused. The folder may
come from anybody, and a file of SQLite can hold more than rows: views and triggers that run when a
table is asked, and journals beside it, whose names and contents lead elsewhere. A ledger of ours
has its own tables, rows whose files lie in the folder, and at most the journal of its own last
transaction.
"""

import contextlib
import json
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from unfooled import __version__
from unfooled.errors import RunRefused

VERSION = 1  # 0 had neither sizes nor makers
NAME = "ledger.sqlite"
PARTS = ("models", "facts", "report", "report/figures")
PATIENCE = 5.0  # seconds to wait for another program that writes to it
_FIRST = """CREATE TABLE jobs (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
    seconds REAL NOT NULL)"""
_JOBS = """CREATE TABLE jobs (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
    seconds REAL NOT NULL, size INTEGER NOT NULL)"""
_MAKER = "CREATE TABLE maker (what TEXT PRIMARY KEY, value TEXT NOT NULL)"
_OURS = ({_FIRST, None}, {_JOBS, _MAKER, None})  # by version; an index has no words
# The file of a job is named by the job, and no name leads out of the folder.
_FORGED = r"""SELECT count(*) FROM jobs WHERE coalesce(NOT (
    typeof(key) = 'text' AND typeof(name) = 'text' AND typeof(file) = 'text'
    AND typeof(sha256) = 'text' AND typeof(seconds) = 'real' AND seconds BETWEEN 0 AND 1e12
    AND instr(name, '/') = 0 AND instr(name, '\') = 0 AND instr(name, char(0)) = 0
    AND file IN ('models/' || name || '.safetensors', 'models/' || name || '.json',
                 'facts/' || name || '.npz')), 1)"""
_NO_MAKER = "SELECT count(*) FROM maker WHERE typeof(what) != 'text' OR typeof(value) != 'text'"
ONE_BY_ONE = "one by one"  # how a folder's seeds were trained, where it does not tell
_BEFORE = {"seeds": ONE_BY_ONE}
_MAGIC = bytes.fromhex("d9d505f920a163d7")  # of SQLite's journals


class Torn(RunRefused):
    """A transaction has to be rolled back first, which only reading cannot do."""


@contextmanager
def written(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a folder, made or brought up to date.

    Raises:
        RunRefused: it is none of ours, of a newer unfooled, or empty beside files.
        sqlite3.Error: it is damaged, held by another program, or cannot be written.
    """
    looked_at(folder)
    with contextlib.closing(sqlite3.connect(folder / NAME, timeout=PATIENCE)) as ledger:
        _sound(folder, ledger)
        if _version(ledger, folder) < VERSION:
            _renew(ledger, folder)
        yield ledger


@contextmanager
def readable(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a folder, which is only read, whoever is at work in it; refuses as `written`.

    Raises:
        sqlite3.Error: there is none, too.
    """
    looked_at(folder)
    place = f"{(folder / NAME).absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(place, uri=True, timeout=PATIENCE)) as ledger:
        try:
            _sound(folder, ledger)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
                raise
            raise Torn(
                f"{folder} is of a run that was killed while it wrote its ledger; "
                f"`unfooled report {folder}` puts it in order"
            ) from error
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
            f"{what}: {known.get(what, _BEFORE.get(what, ''))[:24]} there, {value[:24]} now"
            for what, value in maker.items()
            if known.get(what, _BEFORE.get(what, value)) != value
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
    """Whether it holds our tables and nothing else, and rows that can be."""
    version = _version(ledger, folder)
    found = {sql for (sql,) in ledger.execute("SELECT sql FROM sqlite_master")}
    if not found <= _OURS[version]:
        raise RunRefused(f"{folder / NAME} holds more than a ledger; choose another by --out")
    if not found and version == 0:  # nothing has been written to it yet
        return
    asked = [_FORGED] if version == 0 else [_FORGED, _NO_MAKER]
    if any(ledger.execute(query).fetchone()[0] for query in asked):
        raise RunRefused(f"{folder / NAME} has rows that no run wrote; choose another by --out")


def _version(ledger: sqlite3.Connection, folder: Path) -> int:
    version = int(ledger.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= version <= VERSION:
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
        return path.lstat().st_size
    except OSError:
        return -1


def _environment(folder: Path) -> dict[str, str]:
    """What the folder's last run was made with, as `jobs.maker` names it, as far as it tells."""
    try:
        told = json.loads((folder / "environment.json").read_bytes())
        device = told["device"] if told["device"] == "cpu" else "cuda"
        made = {**told["packages"], "device": device, "data": told["data"]["sha256"]}
        return {name: str(one) for name, one in {"unfooled": told["unfooled"], **made}.items()}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
