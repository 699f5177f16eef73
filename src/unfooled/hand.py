"""A worker on a machine of a Ray cluster, and what it has to be told.

This file imports nothing of ours that needs torch before the worker begins: the pilot reads it too.
"""

import contextlib
import importlib
import os
import pickle
import queue
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unfooled.errors import named

Said = tuple[str, Any, float]  # by a worker, who knows of one job alone


@dataclass(frozen=True)
class Parcel:
    """What a worker has to be told once, put into Ray's object store.

    Attributes:
        perform: the function that does a job, pickled.
        memory: the large arrays in it; on each machine once, whatever the number of workers.
        path: where the driver finds modules.
        folder: that the driver works in, for names of files.
        versions: of all that decides numbers; a worker with others would give other numbers.
    """

    perform: bytes
    memory: tuple[Any, ...]
    path: tuple[str, ...]
    folder: str
    versions: Mapping[str, str]


class Hand:
    """A worker, made an actor: one process of the cluster, which does one job after the other."""

    def __init__(self, parcel: Parcel) -> None:
        self._parcel = parcel
        self._words: queue.SimpleQueue[Said] = queue.SimpleQueue()

    def ready(self) -> tuple[str, str]:
        """The node that it is on, and why it cannot work there; "" if it can."""
        return package().get_runtime_context().get_node_id(), self._opened()

    def _opened(self) -> str:
        parcel = self._parcel
        sys.path += [place for place in parcel.path if place not in sys.path]
        with contextlib.suppress(OSError):  # without files of the user's own it does not matter
            os.chdir(parcel.folder)
        try:
            from unfooled.jobs import versions

            if (own := versions()) != parcel.versions:
                differ = [name for name in own if own[name] != parcel.versions.get(name)]
                told = ", ".join(f"{one} {own[one]}" for one in differ)
                asked = ", ".join(f"{one} {parcel.versions.get(one)}" for one in differ)
                return f"there is {told}, and here {asked}, so the numbers may differ"
            self._perform = pickle.loads(parcel.perform, buffers=parcel.memory)
        except Exception as error:
            return named(error)
        return ""

    def there(self) -> None:
        """An answer is all that is wanted."""

    def begin(self, job: bytes, *weights: bytes | None) -> list[Said]:
        """Begin a job; then as `hear`."""
        threading.Thread(target=self._do, args=(job, weights), daemon=True).start()
        return self.hear()

    def hear(self) -> list[Said]:
        """What there is to tell since the last time, as soon as there is something."""
        told = [self._words.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                told.append(self._words.get_nowait())
        return told

    def _do(self, job: bytes, weights: tuple[bytes | None, ...]) -> None:
        def report(share: float) -> None:
            self._words.put(("progress", share, 0.0))

        try:
            import torch

            from unfooled.engine import outcome

            torch.set_num_threads(1)
            said = outcome(self._perform, pickle.loads(job), weights, report)
        except BaseException as error:  # a thread ends without a word, and the driver would wait
            said = "failed", named(error), 0.0
        self._words.put(said)


def package() -> Any:
    """Ray: most of what it exports has no types."""
    return importlib.import_module("ray")
