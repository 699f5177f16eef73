import pickle
from dataclasses import replace
from typing import Any

import pytest
import toys

from unfooled.hand import Hand, Parcel
from unfooled.jobs import versions


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
    "job", [pickle.dumps(toys.job("a", "leave")), pickle.dumps(toys.job("a", "leave"))[:20]]
)
def test_a_job_that_ends_its_thread_has_failed(parcel: Parcel, job: bytes) -> None:
    hand = Hand(parcel)
    assert hand._opened() == ""
    words = hand.begin(job)
    while words[-1][0] == "progress":
        words += hand.hear()
    assert words[-1][0] == "failed"
    assert words[-1][1].startswith(("SystemExit: 3", "UnpicklingError: "))
