"""Event files that say what the facts say, and say it once."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unfooled.outcomes import WORST
from unfooled.report import Report
from unfooled.tracker import tracked
from unfooled.trackers.tensorboard import _scale, tensorboard


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


@pytest.fixture(scope="module")
def home(small_report: Report, small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written twice, the first time over what a killed run left."""
    home = tmp_path_factory.mktemp("events")
    torn = home / small_run.name / "noise-1"
    torn.mkdir(parents=True)
    (torn / "events.out.tfevents.1.there.1.0").write_bytes(b"half a record")
    (torn / "mine.txt").write_text("a user's own")
    with pytest.MonkeyPatch.context() as patch:  # drawing takes its time
        patch.setattr("unfooled.trackers.tensorboard.all_figures", lambda _: {})
        tensorboard(small_report, small_run, str(home))
    words = tensorboard(small_report, small_run, str(home))
    assert words == f"tensorboard --logdir {home}"
    return home / small_run.name


def test_a_network_has_its_training_and_its_accuracies(home: Path, small_report: Report) -> None:
    for network in tracked(small_report):
        events = read(home / network.name)
        loss = events.Scalars("training/loss")
        assert [(one.step, pytest.approx(one.value)) for one in loss] == [
            (epoch, numbers["loss"]) for epoch, numbers in enumerate(network.history, 1)
        ]
        worst = events.Scalars(f"robust accuracy, Linf, step 1000 x eps/{WORST}")
        assert [(one.step, pytest.approx(one.value)) for one in worst] == [
            (round(1000 * eps), share) for eps, share in network.robust[WORST, "Linf"].items()
        ]
        assert events.Scalars("accuracy/no attack")[0].value == pytest.approx(network.clean)


def test_no_point_stands_twice_and_what_is_not_ours_stays(home: Path) -> None:
    for folder in home.iterdir():
        assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert (home / "noise-1" / "mine.txt").read_text() == "a user's own"


def test_the_settings_stand_in_the_table_of_hyperparameters(home: Path) -> None:
    content = read(home / "noise-0").summary_metadata
    assert "_hparams_/session_start_info" in content


def test_the_figures_are_images_and_the_answer_a_text(home: Path, small_run: Path) -> None:
    events = read(home / "report")
    drawn = {path.stem for path in (small_run / "report" / "figures").glob("*.svg")}
    assert {tag.removeprefix("figures/") for tag in events.Tags()["images"]} == drawn
    picture = events.Images("figures/curves")[0]
    assert picture.width > 600
    assert "answer/text_summary" in events.Tags()["tensors"]


def test_without_a_folder_it_is_the_runs(
    small_report: Report, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unfooled.trackers.tensorboard.tracked", lambda _: [])
    monkeypatch.setattr("unfooled.trackers.tensorboard.all_figures", lambda _: {})
    assert tensorboard(small_report, tmp_path, "") == f"tensorboard --logdir {tmp_path}/tensorboard"
    assert list((tmp_path / "tensorboard" / "report").iterdir())


@pytest.mark.parametrize(
    ("eps", "times"),
    [((0.0, 0.1), 1000), ((1.0, 5.0), 1), ((0.0001, 0.0002, 0.5), 10_000), ((8 / 255,), 1000)],
)
def test_steps_keep_all_eps_apart(eps: tuple[float, ...], times: int) -> None:
    assert _scale(dict.fromkeys(eps, 0.5)) == times
