"""A run's folder: every finished job once, whole, under the key of all that decides it.

A file is written beside its place, flushed to the disk, and renamed into it; then its row is
written to the ledger. So a kill at any moment loses at most the job that was being written. A job
counts as finished when its row stands and its file is there in the row's size. Whoever reads the
file holds it against the row's hash, and forgets the job if it is another, so that the same command
does it again.
"""

import contextlib
import errno
import hashlib
import json
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic_core import from_json

from unfooled import ledger
from unfooled.errors import InvalidData, RunRefused

_FOLDERS = {"train": ("models", ".safetensors"), "load": ("models", ".json")}
_EARLIER = "earlier"  # where the files lie whose jobs were done again


class Store:
    """The ledger and the files of one run; made by `opened`."""

    def __init__(self, folder: Path, known: sqlite3.Connection) -> None:
        self.folder = folder
        self._ledger = known

    def made_with(self, maker: Mapping[str, str]) -> None:
        """Go on only with what the finished jobs were made with; see `ledger.check_maker`."""
        with _explained(self.folder):
            ledger.check_maker(self._ledger, self.folder, maker)

    def finished(self) -> set[str]:
        """The keys of all finished jobs; the files are listed, not read."""
        with _explained(self.folder):
            sizes = {
                f"{part}/{entry.name}": entry.stat(follow_symlinks=False).st_size
                for part in ("models", "facts")
                for entry in os.scandir(self.folder / part)
            }
            rows = self._ledger.execute("SELECT key, file, size FROM jobs")
            return {key for key, file, size in rows if sizes.get(file) == size}

    def get(self, key: str) -> bytes | None:
        """The file of a finished job; None if it is not finished, or its file is not whole."""
        with _explained(self.folder):
            query = "SELECT file, sha256 FROM jobs WHERE key = ?"
            row = self._ledger.execute(query, (key,)).fetchone()
        if row is None:
            return None
        try:
            content = regular(self.folder / row[0])
        except FileNotFoundError:
            content = b""
        except (OSError, ValueError):  # of the disk or of rights: the file may well be whole
            return None
        if hashlib.sha256(content).hexdigest() == row[1]:
            return content
        with _explained(self.folder), self._ledger:
            self._ledger.execute("DELETE FROM jobs WHERE key = ?", (key,))
        return None

    def put(self, key: str, name: str, kind: str, content: bytes, seconds: float) -> None:
        """Keep a finished job.

        Raises:
            RunRefused: the disk is full or the folder cannot be written; earlier jobs are intact.
        """
        folder, ending = _FOLDERS.get(kind, ("facts", ".npz"))
        file = f"{folder}/{name}{ending}"
        write(self.folder / file, content)
        row = (key, name, file, hashlib.sha256(content).hexdigest(), seconds, len(content))
        with _explained(self.folder), self._ledger:
            self._ledger.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?)", row)

    def set_aside(self, keys: set[str]) -> int:
        """Take every job but these for unfinished, and move their files into `earlier/`; how many.

        Their keys are of code that has been changed since, such as a user's own attack.
        """
        with _explained(self.folder):
            rows = self._ledger.execute("SELECT key, file FROM jobs").fetchall()
            old = [(key, Path(file)) for key, file in rows if key not in keys]
            for key, file in old:
                (self.folder / _EARLIER).mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # moved by a run that was killed here
                    there = self.folder / _EARLIER / f"{file.stem}-{key[:12]}{file.suffix}"
                    (self.folder / file).replace(there)
            with self._ledger:
                deleted = [(key,) for key, _ in old]
                self._ledger.executemany("DELETE FROM jobs WHERE key = ?", deleted)
        return len(old)

    def named(self) -> dict[str, bytes]:
        """The file of every finished job, by the job's name."""
        with _explained(self.folder):
            rows = self._ledger.execute("SELECT name, key FROM jobs ORDER BY name").fetchall()
        found = {name: self.get(key) for name, key in rows}
        return {name: content for name, content in found.items() if content is not None}

    def counted(self) -> dict[str, tuple[int, float]]:
        """How many jobs are finished and the seconds that they took, by the folder of their files.

        "models" are the networks, "facts" is what was done with them.
        """
        query = """SELECT substr(file, 1, instr(file, '/') - 1), count(*), total(seconds)
            FROM jobs GROUP BY 1"""
        with _explained(self.folder):
            rows = self._ledger.execute(query).fetchall()
        return {part: (number, seconds) for part, number, seconds in rows}

    def seconds(self) -> float:
        """What all finished jobs took together."""
        return sum(seconds for _, seconds in self.counted().values())


def regular(path: Path) -> bytes:
    """What a file of a run holds, which may come from anybody: no link, pipe or device is read.

    Raises:
        OSError: it is none, or cannot be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.read_bytes()


def recorded(path: Path) -> str | None:
    """The SHA-256 that the ledger of its run has for a file; None where no run knows of it.

    Raises:
        Torn: its run was killed while it wrote the ledger.
    """
    folder = path.resolve().parent.parent
    if not (folder / ledger.NAME).is_file():
        return None
    query = "SELECT sha256 FROM jobs WHERE file = ? ORDER BY rowid DESC LIMIT 1"
    try:
        with ledger.readable(folder) as known:
            row = known.execute(query, (path.resolve().relative_to(folder).as_posix(),)).fetchone()
    except ledger.Torn:
        raise
    except (sqlite3.Error, RunRefused):  # damaged, or of something else
        return None
    return None if row is None else str(row[0])


def files(folder: Path) -> dict[str, tuple[str, str]]:
    """The name and the SHA-256 of every finished job by its file, such as "models/plain-0...".

    Only read, and without the lock: a run may be at work.

    Raises:
        RunRefused: there is no ledger, or it is damaged, or of a newer unfooled.
    """
    query = "SELECT file, name, sha256 FROM jobs ORDER BY rowid"
    try:
        with ledger.readable(folder) as known:
            return {file: (name, sha256) for file, name, sha256 in known.execute(query)}
    except sqlite3.Error as error:
        raise RunRefused(f"{folder / ledger.NAME} cannot be read: {error}") from error


def whole(folder: Path, file: str, sha256: str) -> bytes:
    """A file of a run, if it is what the ledger says; see `files`.

    Raises:
        InvalidData: it is missing or damaged.
    """
    try:
        content = regular(folder / file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise InvalidData(f"cannot read {folder / file}: {reason}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InvalidData(
            f"{folder / file} is not what the run's ledger says: damaged, or changed since; the "
            "command that made the run makes it again"
        )
    return content


@contextmanager
def opened(folder: Path, plain: dict[str, Any]) -> Iterator[Store]:
    """The store in a folder, for one process at a time.

    Args:
        folder: made if it does not exist.
        plain: the study, as `Study.plain` gives it. A folder with finished jobs must hold the same.

    Raises:
        RunRefused: the folder is busy, cannot be written, belongs to another study, or is of a
            newer unfooled.
    """
    lock = FileLock(folder / ".lock")
    with _explained(folder):
        ledger.looked_at(folder)
        for part in ledger.PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunRefused(
                f"another run is at work in {folder}; wait for it, or take another folder by --out"
            ) from None
    try:
        with _entered(folder, ledger.written(folder)) as known:
            with _explained(folder):
                write(folder / "models" / "writable", b"")
                (folder / "models" / "writable").unlink()
                finished = known.execute("SELECT count(*) FROM jobs").fetchone()[0]
            _same(folder, plain, finished)
            yield Store(folder, known)
    finally:
        lock.release()


@contextmanager
def _entered(
    folder: Path, opening: contextlib.AbstractContextManager[sqlite3.Connection]
) -> Iterator[sqlite3.Connection]:
    """The same, with what goes wrong at its opening explained; the rest is the caller's."""
    with contextlib.ExitStack() as stack:
        with _explained(folder):
            known = stack.enter_context(opening)
        yield known


def write(path: Path, content: bytes) -> None:
    """The whole file or none of it, whatever happens.

    Raises:
        RunRefused: the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    with _explained(path.parent):
        beside.unlink(missing_ok=True)  # of a run that was killed; or a link, which leads elsewhere
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _same(folder: Path, plain: dict[str, Any], finished: int) -> None:
    """Keep the study beside its jobs; one without a finished job may still be changed."""
    path = folder / "study.json"
    if not path.exists() or not finished:
        write(path, (json.dumps(plain, indent=2) + "\n").encode())
        return
    try:
        old = from_json(regular(path))
    except OSError as error:
        raise RunRefused(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunRefused(f"{path} is damaged: {error}") from error
    differing = list(_differences("", old, plain))
    if differing:
        raise RunRefused(
            f"{folder} holds another study ({'; '.join(differing[:8])}); "
            "choose another folder by --out"
        )


def _differences(place: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(f"{place}.{key}" if place else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{place}[{index}]", one, other)
    elif old != new:
        yield f"{place}: {_short(old)} there, {_short(new)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "full" in str(error)
        if full:
            raise RunRefused(
                f"the disk of {folder} is full; what was finished is kept. Free some space and run "
                "the same command again"
            ) from error
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RunRefused(
                f"another program holds the ledger in {folder}; close it and run the same command "
                "again"
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise RunRefused(f"cannot write to {folder}: {reason}; choose another by --out") from error
    except sqlite3.DatabaseError as error:
        raise RunRefused(
            f"the ledger in {folder} is damaged: {error}; choose another folder by --out"
        ) from error
