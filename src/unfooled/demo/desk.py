"""One question at a time, a few that wait, and no more: what keeps the page's server small."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from unfooled.demo.playing import Watch
from unfooled.errors import UnfooledError

T = TypeVar("T")
WAITING = 16  # questions inside at once, with the one that is being answered


class Full(UnfooledError):
    """So many questions wait already that another must come back later."""


class Desk:
    """Answers questions in one thread, in the order in which they came.

    Args:
        seconds: that one may take, if `submit` does not say otherwise.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="demo")
        self._open: dict[int, Watch] = {}

    def submit(
        self, work: Callable[[Watch], T], seconds: float | None = None
    ) -> tuple[Watch, Future[T]]:
        """The answer to come, and how far it has got.

        Raises:
            Full: too many wait.
        """
        if len(self._open) >= WAITING:
            raise Full("too many questions at once; ask again in a second")
        watch = Watch()

        def timed() -> T:
            watch.until = time.monotonic() + (self._seconds if seconds is None else seconds)
            return work(watch)

        self._open[id(watch)] = watch
        future = self._thread.submit(timed)
        future.add_done_callback(lambda _: self._open.pop(id(watch), None))
        return watch, future

    def close(self) -> None:
        """What is under way is given up between two of its steps; what waits is not begun."""
        for watch in list(self._open.values()):
            watch.stopped = True
        self._thread.shutdown(wait=True, cancel_futures=True)
