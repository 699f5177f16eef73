import pickle
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import toys
from ray import exceptions

from unfooled import pilot
from unfooled.jobs import versions
from unfooled.pilot import Hand, Parcel, Terms

TERMS = Terms("auto", cores=2, gpus=0, workers=None, device="cpu", limit=None)


@pytest.fixture
def parcel(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Parcel:
    monkeypatch.chdir(tmp_path)
    return Parcel(pickle.dumps(toys.perform), (), (), str(tmp_path), versions())


def test_a_worker_tells_progress_and_then_what_came_of_the_job(parcel: Parcel) -> None:
    hand = Hand(parcel)
    assert hand._opened() == ""
    words = hand.begin(pickle.dumps(toys.job("a")))
    while words[-1][0] == "progress":
        words += hand.hear()
    (first, share, _), (last, content, seconds) = words
    assert (first, share, last) == ("progress", 0.5, "done")
    assert content.startswith(b"a after () in ")
    assert seconds >= 0


def test_a_machine_with_other_versions_does_no_job(parcel: Parcel) -> None:
    other = replace(parcel, versions={**parcel.versions, "torch": "1.0", "scipy": "1.1"})
    own = parcel.versions
    assert Hand(other)._opened() == (
        f"there is torch {own['torch']}, scipy {own['scipy']}, and here torch 1.0, scipy 1.1, so "
        "the numbers may differ"
    )


def test_what_cannot_be_loaded_on_a_machine_is_told(parcel: Parcel) -> None:
    assert Hand(replace(parcel, perform=b"nothing"))._opened().startswith("UnpicklingError: ")


@pytest.mark.parametrize(
    ("device", "workers", "room"),
    [
        ("cpu", None, (12, 0.0)),
        ("cpu", 5, (5, 0.0)),
        ("cuda", None, (3, 1.0)),
        ("cuda", 2, (2, 1.0)),
        ("cuda", 6, (6, 0.5)),
        ("cuda", 7, (7, 0.428)),  # never more than there is
    ],
)
def test_there_is_room_for_a_worker_a_core_or_a_gpu_of_the_cluster(
    device: str, workers: int | None, room: tuple[int, float]
) -> None:
    made = pilot._Pilot.__new__(pilot._Pilot)
    made._ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 12.0, "GPU": 3.0})
    made._terms = replace(TERMS, device=device, workers=workers)
    assert made._room() == room


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
