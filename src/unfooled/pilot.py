"""The process that speaks with Ray for a run.

Ray ends a process whose cluster is lost. A run has to outlive that, so what Ray may end is a child
of it, the pilot: one pipe, no file, and when the pipe closes the pilot ends and all that it began.
This file imports nothing of ours that needs torch: the pilot hands on jobs that it need not read.
"""

import asyncio
import contextlib
import math
import os
import queue
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from unfooled.errors import brief
from unfooled.hand import Hand, Parcel, Said, package

Word = tuple[str, str, Any, float]  # kind, key of the job, what is told, seconds

BIRTHS = 4  # how often a worker is started in one place that never comes to live
_WATCH = 2.0  # seconds between two looks at how large the cluster is
_AGAIN = 1.0  # seconds before a worker is started again
_DOUBT = 3.0  # seconds in which a machine tells of the end of one of its processes
_CALLS = 3  # how often a cluster is called whose server could not begin what answers
_KNOCK = 10.0  # seconds that the machine of a cluster's head may take to answer
_LAST_WORDS = 10.0  # seconds that the driver may take to hear them


@dataclass(frozen=True)
class Terms:
    """What the pilot asks Ray for.

    Attributes:
        address: of a cluster; "" begins one on this machine.
        cores, gpus: of one that begins here.
        jobs: that there are, so that no more workers are of use.
        workers: jobs at once; None for as many as the cluster has room for.
        device: "cuda" gives each worker a GPU, or its share of one.
        limit: seconds that a job may take; None for no limit.
    """

    address: str
    cores: int
    gpus: int
    jobs: int
    workers: int | None
    device: str
    limit: float | None


def serve(pipe: Connection, parcel: Parcel, terms: Terms) -> None:
    """The life of a pilot; signals are the driver's to hear, and what Ray prints is nobody's."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nobody is told
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the workers of `local`; Ray's is 15
    if terms.address.startswith("ray://") and _has_token():
        # Ray's own default from outside a cluster is to send none, and to wait in vain.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    voice = _Voice(pipe)
    try:
        with _joined(terms, voice.say):
            asyncio.run(_Pilot(pipe, voice, parcel, terms).run())
    except _Useless as error:
        voice.say("useless", "", str(error))
    except Exception as error:
        voice.say("unable", "", brief(error))
    voice.close()


class _Useless(Exception):
    """No job can be done on this cluster, and another pilot would find it so too."""


class _Voice:
    """What is told to the driver, by a thread: who waits until it is heard cannot listen."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._words: queue.SimpleQueue[Word | None] = queue.SimpleQueue()
        self._speaks = threading.Thread(target=self._speak, daemon=True)
        self._speaks.start()

    def say(self, kind: str, key: str = "", value: Any = None, seconds: float = 0.0) -> None:
        self._words.put((kind, key, value, seconds))

    def close(self) -> None:
        """After all that was said, or when the driver does not hear it."""
        self._words.put(None)
        self._speaks.join(_LAST_WORDS)

    def _speak(self) -> None:
        with contextlib.suppress(OSError):  # the driver is gone, which its own words tell
            while (word := self._words.get()) is not None:
                self._pipe.send(word)


def _has_token() -> bool:
    """Whether there is one of a cluster, where Ray looks for it."""
    named = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


@contextmanager
def _joined(terms: Terms, say: Callable[[str], None]) -> Iterator[None]:
    """With a connection to the cluster, or to one of our own that ends with us."""
    ray = package()
    told = {"log_to_driver": False, "logging_level": "ERROR"}
    if terms.address:
        _knock(terms.address)
        for call in range(1, _CALLS + 1):
            try:
                ray.init(terms.address, **told)
                break
            except ConnectionAbortedError:
                # For each `ray://` the server forks, in which gRPC may crash on a busy machine.
                if call == _CALLS:
                    raise
                say("again")
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Not where temporary files of the user's are: a socket's path may have a hundred letters.
    folder = tempfile.mkdtemp(prefix="unfooled-", dir=os.environ.get("RAY_TMPDIR", "/tmp"))
    own = {"num_cpus": terms.cores, "num_gpus": terms.gpus, "include_dashboard": False}
    try:
        ray.init("local", **own, **told, _temp_dir=folder)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _knock(address: str) -> None:
    """Whether anybody listens there; Ray would look for minutes.

    Raises:
        OSError: nobody does.
        ValueError: it is no address.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not (host and port.isdigit()):
        raise ValueError("an address is auto, HOST:PORT or ray://HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()


class _Pilot:
    """The workers of a cluster, each followed by a coroutine of its own."""

    def __init__(self, pipe: Connection, voice: _Voice, parcel: Parcel, terms: Terms) -> None:
        self._ray, self._pipe, self._terms = package(), pipe, terms
        self._say, self._parcel = voice.say, parcel
        self._kept: dict[str, Any] = {}
        self._jobs: asyncio.Queue[tuple[str, bytes, tuple[str, ...]]] = asyncio.Queue()
        self._hands: set[asyncio.Task[str]] = set()

    async def run(self) -> None:
        """Until the driver is gone.

        Raises:
            _Useless: no worker can live here.
        """
        self._say("reached")
        parcel = self._ray.put(self._parcel)  # may take long
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._pipe.fileno(), self._listen, over)
        while not over.done():
            room, share = self._room()
            while len(self._hands) < room:
                self._hands.add(asyncio.create_task(self._lived(parcel, share)))
            ends: list[asyncio.Future[Any]] = [over]
            ends += [hand for hand in self._hands if not hand.done()]
            await asyncio.wait(ends, timeout=_WATCH, return_when="FIRST_COMPLETED")
            why = [hand.result() for hand in self._hands if hand.done()]
            if why and len(why) == len(self._hands):
                raise _Useless(f"no worker can be started: {why[0]}")
        over.result()

    def _room(self) -> tuple[int, float]:
        """How many workers there should be, and the GPUs of each.

        Raises:
            _Useless: GPUs are asked for, and there is none.
        """
        has, most = self._ray.cluster_resources(), self._terms.jobs
        asked = self._terms.workers and min(self._terms.workers, most)
        if self._terms.device != "cuda":
            return asked or min(int(has.get("CPU", 0)), most), 0.0
        gpus = int(has.get("GPU", 0))
        if not gpus:
            raise _Useless("the Ray cluster has no GPU; --device cpu works on it")
        if asked is None or asked <= gpus:
            return asked or min(gpus, most), 1.0
        # A worker is on one GPU, so each GPU is divided by the number of workers that it has.
        return asked, 1000 // math.ceil(asked / gpus) / 1000

    def _listen(self, over: "asyncio.Future[None]") -> None:
        """What the driver says; `over` when it is gone, or says what cannot be done."""
        try:
            while self._pipe.poll():
                kind, key, value, needs = self._pipe.recv()
                if kind == "job":
                    self._jobs.put_nowait((key, value, needs))
                elif kind == "keep":
                    self._kept[key] = self._ray.put(value)
                else:
                    del self._kept[key]
        except Exception as error:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            if isinstance(error, OSError | EOFError):
                over.set_result(None)
            else:
                over.set_exception(error)

    async def _lived(self, parcel: Any, gpus: float) -> str:
        """One worker after the other in one place; why there cannot be one."""
        kind = self._ray.remote(Hand).options(num_cpus=1, num_gpus=gpus, max_restarts=0)
        births, why = 0, ""
        while births < BIRTHS:
            hand = kind.remote(parcel)
            try:
                node, why = await hand.ready.remote()
            except self._ray.exceptions.RayError as error:
                births, why = births + 1, self._told(error)
                await asyncio.sleep(_AGAIN)
                continue
            if why:
                return f"on a node, {why}"
            births = 0
            while await self._does(hand, node):
                pass
        return why

    async def _does(self, hand: Any, node: str) -> bool:
        """A job done, as soon as there is one; whether the worker is still there."""
        self._say("idle")
        key, job, needs = await self._jobs.get()
        try:
            await hand.there.remote()
        except self._ray.exceptions.RayError:  # by no fault of this job's
            self._ray.kill(hand)
            self._say("lost", key)
            return False
        try:
            async with asyncio.timeout(self._terms.limit):
                words = await hand.begin.remote(job, *(self._kept[need] for need in needs))
                while self._passed_on(key, words):
                    words = await hand.hear.remote()
        except TimeoutError:
            self._ray.kill(hand)
            self._say("late", key)
            return False
        except self._ray.exceptions.RayError as error:
            known = await self._known(hand, error)
            self._ray.kill(hand)  # it may only be out of reach
            self._say("lost" if self._has_lost(node, known) else "died", key, self._told(known))
            return False
        return True

    async def _known(self, hand: Any, error: Exception) -> Exception:
        """What is known of a worker's end after a while: at first it is but out of reach."""
        until = time.monotonic() + _DOUBT
        while time.monotonic() < until and isinstance(
            error, self._ray.exceptions.ActorUnavailableError
        ):
            await asyncio.sleep(_DOUBT / 10)
            try:
                await hand.ready.remote()
            except self._ray.exceptions.RayError as later:
                error = later
            else:
                break
        return error

    def _passed_on(self, key: str, words: list[Said]) -> bool:
        """Whether there is more to come."""
        for kind, value, seconds in words:
            self._say(kind, key, value, seconds)
        return words[-1][0] == "progress"

    def _has_lost(self, node: str, error: Exception) -> bool:
        """Whether a worker is gone by no fault of its job's."""
        kinds = self._ray.exceptions
        if isinstance(error, kinds.OutOfMemoryError):
            return False
        if not isinstance(error, kinds.ActorDiedError):
            return True
        alive = {one["NodeID"] for one in self._ray.nodes() if one["Alive"]}
        return "node has died" in str(error) or node not in alive

    def _told(self, error: Exception) -> str:
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return "its worker process was ended by Ray, since its machine ran out of memory"
        return "its worker process died"
