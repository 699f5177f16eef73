from dataclasses import replace
from pathlib import Path

import pytest

from unfooled import catalog, showing, tracker
from unfooled.command import trackers
from unfooled.errors import InvalidOption, TrackingFailed, UnknownName
from unfooled.outcomes import WORST
from unfooled.report import Report
from unfooled.tracker import Tracker, tracked


def told(where: str) -> Tracker:
    def broken(report: Report, folder: Path, place: str) -> str:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except ConnectionRefusedError as error:
            raise ValueError("a page of words") from error

    return Tracker("mlflow", where, broken)


@pytest.mark.parametrize("name", catalog.names("trackers"))
def test_a_tracker_says_what_it_needs_and_where_it_writes(name: str) -> None:
    home = catalog.module("trackers", name)
    assert home.NEEDS
    assert isinstance(home.WHERE, str)


def test_what_cannot_be_used_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InvalidOption, match="MLFLOW_TRACKING_URI"):
        tracker.find("mlflow", "")
    with pytest.raises(UnknownName, match="tensorboard"):
        tracker.find("tensorbord", "")
    monkeypatch.setattr(catalog.module("trackers", "tensorboard"), "NEEDS", "no_such_package")
    with pytest.raises(InvalidOption, match=r'pip install "unfooled\[tensorboard\]"'):
        tracker.find("tensorboard", "")


def test_what_was_typed_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert tracker.find("mlflow", "").where == "http://there"
    assert tracker.find("mlflow", "http://here").where == "http://here"


def test_nothing_is_tracked_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert trackers(None, None) == []
    assert [one.name for one in trackers("", None)] == ["tensorboard"]


@pytest.mark.parametrize("where", ["digits", "mine.toml"])
def test_a_study_that_would_be_taken_for_a_folder_is_told(where: str) -> None:
    with pytest.raises(InvalidOption, match=f"--tensorboard takes {where}"):
        trackers(where, None)


def test_a_failure_is_one_line_with_its_reason_and_a_way_to_try_again(
    small_report: Report, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrackingFailed, match="Connection refused"):
        told("http://there").track(small_report, small_run)
    fine = replace(told("here"), function=lambda *_: "all of it")
    assert not showing.tracked(small_report, small_run, [told("http://there"), fine])
    screen = capsys.readouterr()
    assert len(screen.err.splitlines()) == 1
    assert f"unfooled report {small_run} --mlflow http://there tries again" in screen.err
    assert "all of it" in screen.out


def test_a_failure_tells_no_password(small_report: Report, small_run: Path) -> None:
    with pytest.raises(TrackingFailed, match="http://there tries again") as failed:
        told("http://me:secret@there").track(small_report, small_run)
    assert "secret" not in str(failed.value)


def test_what_is_tracked_of_a_network_are_its_own_shares(small_report: Report) -> None:
    networks = tracked(small_report)
    assert [one.name for one in networks[:3]] == ["plain-0", "plain-1", "noise-0"]
    for recipe in small_report.results.recipes:
        own = [one for one in networks if one.recipe == recipe.name]
        for eps in (0.1, 0.2):
            shares = [one.robust[WORST, "Linf"][eps] for one in own]
            assert sum(shares) / len(shares) == pytest.approx(
                recipe.curve(WORST, "Linf").at(eps).value
            )
        assert all(len(one.history) == 2 for one in own)
    assert networks[2].settings["transforms"] == "GaussianNoise(sigma=0.2)"
    assert networks[4].settings["defence"] == "adversarial(steps=1)"
