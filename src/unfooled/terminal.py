"""The two streams of the command line, shared by the files of its commands.

Colours are as NO_COLOR, FORCE_COLOR and TERM=dumb have them; rich looks at those.
"""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from unfooled.wording import public

ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):
    ENDINGS[signal.SIGHUP] = "hung up"

out, err = Console(highlight=False), Console(stderr=True, highlight=False)


def typed() -> str:
    """The command as it was typed, for a shell; `python -m unfooled` is the same.

    It stands in the run's folder and in its report, so no password stands in it.
    """
    return shlex.join(["unfooled", *map(public, sys.argv[1:])])


def lively() -> bool:
    """Whether a line may move: on a terminal that can, whatever colours are asked for elsewhere."""
    return err.file.isatty() and not err.is_dumb_terminal


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A word of patience on a terminal: the first import of torch takes seconds."""
    if not lively():
        yield
        return
    with err.status(f"{what} ..."):
        yield


class Interrupted(BaseException):
    """Ctrl-C, or another wish that the command ends; typer would make KeyboardInterrupt a 1."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.code = 128 + number
        super().__init__(ENDINGS[signal.Signals(number)])
