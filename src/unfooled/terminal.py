"""The two streams of the command line, shared by the files of its commands."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

out, err = Console(highlight=False), Console(stderr=True, highlight=False)


def typed() -> str:
    """The command as it was typed, for a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A word of patience on a terminal: the first import of torch takes seconds."""
    if not err.is_terminal:
        yield
        return
    with err.status(f"{what} ..."):
        yield


class Interrupted(BaseException):
    """Ctrl-C; typer would turn a KeyboardInterrupt into exit code 1."""
