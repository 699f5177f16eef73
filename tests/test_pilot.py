import asyncio
import multiprocessing
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import exceptions

from unfooled import pilot
from unfooled.hand import Parcel
from unfooled.pilot import Terms

TERMS = Terms("auto", cores=2, gpus=0, jobs=10, workers=None, device="cpu", limit=None)


@pytest.mark.parametrize(
    ("device", "workers", "room"),
    [
        ("cpu", None, (10, 0.0)),  # no more than there are jobs
        ("cpu", 5, (5, 0.0)),
        ("cpu", 50, (10, 0.0)),
        ("cuda", None, (3, 1.0)),
        ("cuda", 2, (2, 1.0)),
        ("cuda", 6, (6, 0.5)),
        ("cuda", 7, (7, 0.333)),  # three, two and two on each
    ],
)
def test_there_is_room_for_a_worker_a_core_or_a_gpu_of_the_cluster(
    device: str, workers: int | None, room: tuple[int, float]
) -> None:
    made = pilot._Pilot.__new__(pilot._Pilot)
    made._ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 12.0, "GPU": 3.0})
    made._terms = replace(TERMS, device=device, workers=workers)
    assert made._room() == room


def test_a_cluster_without_a_gpu_is_told_from_one_that_has_room_later() -> None:
    made = pilot._Pilot.__new__(pilot._Pilot)
    made._ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 12.0})
    made._terms = replace(TERMS, device="cuda")
    with pytest.raises(pilot._Useless, match="has no GPU; --device cpu works on it"):
        made._room()


def test_who_speaks_much_can_still_listen() -> None:
    """Both ends of one pipe write more than it holds, before either reads."""
    ours, theirs = multiprocessing.Pipe()
    voice = pilot._Voice(theirs)
    for _ in range(3):
        voice.say("done", "a", bytes(2**22))
    heard: list[Any] = []
    listens = threading.Thread(target=lambda: heard.append(theirs.recv()))
    listens.start()
    ours.send(("keep", "a", bytes(2**22), ()))
    listens.join()
    assert len(heard[0][2]) == 2**22
    assert [len(ours.recv()[2]) for _ in range(3)] == [2**22] * 3
    voice.close()


@pytest.mark.parametrize(
    ("error", "lost", "told"),
    [
        (exceptions.OutOfMemoryError("low on memory"), False, "ran out of memory"),
        (exceptions.ActorDiedError(), False, "its worker process died"),
        (exceptions.ActorUnavailableError("no answer", None), True, ""),
        (exceptions.ObjectLostError("a" * 56, "a" * 56, ""), True, ""),
    ],
)
def test_a_worker_that_died_is_told_from_one_whose_machine_is_lost(
    error: Exception, lost: bool, told: str
) -> None:
    made = pilot._Pilot.__new__(pilot._Pilot)
    nodes = [{"NodeID": "here", "Alive": True}, {"NodeID": "there", "Alive": False}]
    made._ray = SimpleNamespace(exceptions=exceptions, nodes=lambda: nodes)
    assert made._has_lost("here", error) == lost
    assert made._has_lost("there", error) == (lost or "died" in told)
    assert told in made._told(error)


def awaited(what: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: a browser of another test may have a loop in this one."""
    with ThreadPoolExecutor(1) as alone:
        alone.submit(asyncio.run, what).result()


def made_of(pipe: Connection, *, jobs: int = 10, put: Any = lambda _: None) -> pilot._Pilot:
    """A pilot on a cluster of two cores that is not there."""
    found = pilot._Pilot(pipe, pilot._Voice(pipe), Parcel(b"", (), (), "", {}), TERMS)
    found._terms = replace(TERMS, jobs=jobs)
    found._ray = SimpleNamespace(put=put, cluster_resources=lambda: {"CPU": 2.0})
    return found


def test_what_cannot_be_kept_ends_the_pilot() -> None:
    def full(_: object) -> None:
        raise MemoryError("the object store is full")

    async def listened() -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        made._listen(over)
        await over

    ours, theirs = multiprocessing.Pipe()
    made = made_of(theirs, put=full)
    ours.send(("keep", "a", b"weights", ()))
    with pytest.raises(MemoryError, match="store is full"):
        awaited(listened())


def test_a_place_in_which_no_worker_lives_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    born, looks = [], []

    async def lived(parcel: object, gpus: float) -> str:
        born.append(gpus)
        if len(born) == 1:
            return "there is an older torch"
        await asyncio.sleep(60)
        return ""

    async def whole() -> None:
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0.3)
        ours.close()
        await running

    ours, theirs = multiprocessing.Pipe()
    made = made_of(theirs)
    room = made._room
    monkeypatch.setattr(made, "_lived", lived)
    monkeypatch.setattr(made, "_room", lambda: looks.append("") or room())
    awaited(whole())
    assert len(born) == 2
    assert len(looks) < 4


def test_no_place_in_which_a_worker_lives_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lived(parcel: object, gpus: float) -> str:
        return "there is an older torch"

    _, theirs = multiprocessing.Pipe()
    made = made_of(theirs)
    monkeypatch.setattr(made, "_lived", lived)
    with pytest.raises(pilot._Useless, match="can be started: there is an older torch"):
        awaited(made.run())


def calling(monkeypatch: pytest.MonkeyPatch, refused: int) -> tuple[list[str], list[str]]:
    """The addresses called on a Ray that refuses so often, and what the driver was told."""
    called: list[str] = []
    said: list[str] = []

    def init(address: str, **_: object) -> None:
        called.append(address)
        if len(called) <= refused:
            raise ConnectionAbortedError("Initialization failure from server:\nTraceback:\nwhy")

    fake = SimpleNamespace(init=init, shutdown=lambda: called.append("end"))
    monkeypatch.setattr(pilot, "package", lambda: fake)
    monkeypatch.setattr(pilot, "_knock", lambda _: None)
    with pilot._joined(replace(TERMS, address="ray://there:1"), said.append):
        pass
    return called, said


@pytest.mark.parametrize("refused", [0, 2])
def test_a_cluster_whose_server_could_not_begin_is_called_again(
    monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    called, said = calling(monkeypatch, refused)
    assert called == ["ray://there:1"] * (refused + 1) + ["end"]
    assert said == ["again"] * refused


def test_a_cluster_whose_server_never_begins_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionAbortedError):
        calling(monkeypatch, 3)


def test_a_token_is_looked_for_where_ray_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not pilot._has_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    assert pilot._has_token()
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert pilot._has_token()
