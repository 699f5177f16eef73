"""The two streams of the command line, shared by the files of its commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

out, err = Console(highlight=False), Console(stderr=True, highlight=False)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A word of patience on a terminal: the first import of torch takes seconds."""
    if not err.is_terminal:
        yield
        return
    with err.status(f"{what} ..."):
        yield
