"""A run on a tracking server: here MLflow's store of files, which needs no server."""

import os
import socket
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from unfooled import tracker
from unfooled.errors import TrackingFailed
from unfooled.outcomes import WORST
from unfooled.report import Report


@pytest.fixture(scope="module")
def runs(
    small_report: Report, small_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """All runs there are after the report was sent twice, by their names."""
    place = tmp_path_factory.mktemp("mlflow").as_uri()
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        sent = tracker.find("mlflow", place)
        words = [sent.track(small_report, small_run) for _ in range(2)]
        client = MlflowClient(tracking_uri=place)
        experiment = client.get_experiment_by_name("small")
        found = client.search_runs([experiment.experiment_id])
    assert words[0] == words[1]
    assert dict(os.environ) == before
    assert mlflow.get_tracking_uri() != place, "the tracking URI of the process was changed"
    assert len({run.info.run_name for run in found}) == len(found), "something was sent twice"
    return {run.info.run_name: run for run in found}


def inside(run: Run) -> str | None:
    return run.data.tags.get("mlflow.parentRunId")


def test_networks_lie_within_recipes_within_the_study(runs: dict[str, Run]) -> None:
    recipes = ("plain", "noise", "adversarial")
    assert set(runs) == {
        "run",
        *recipes,
        *(f"{name}-{seed}" for name in recipes for seed in (0, 1)),
    }
    assert inside(runs["run"]) is None
    for name in recipes:
        assert inside(runs[name]) == runs["run"].info.run_id
        assert inside(runs[f"{name}-1"]) == runs[name].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_numbers_stand_beside_the_ends_of_their_intervals(
    runs: dict[str, Run], small_report: Report
) -> None:
    for recipe in small_report.results.recipes:
        worst, metrics = recipe.curve(WORST, "Linf").at(0.1), runs[recipe.name].data.metrics
        name = "accuracy/worst case Linf eps 0.1"
        assert [metrics[name], metrics[f"{name} low"], metrics[f"{name} high"]] == pytest.approx(
            [worst.value, worst.low, worst.high]
        )
    change = small_report.results.compared("noise", WORST, 0.1)
    assert change is not None
    found = runs["run"].data.metrics["change worst case eps 0.1/noise"]
    assert found == pytest.approx(change.difference.value)
    assert runs["run"].data.tags["mlflow.note.content"].endswith(small_report.answer.sentence)


def test_a_network_has_its_settings_and_its_last_epoch(
    runs: dict[str, Run], small_report: Report
) -> None:
    run = runs["noise-1"]
    assert run.data.params["transforms"] == "GaussianNoise(sigma=0.2)"
    assert run.data.params["seed"] == "1"
    last = small_report.results.recipe("noise").history[1][-1]
    assert run.data.metrics["training/loss"] == pytest.approx(last["loss"])


def test_the_pages_and_figures_are_artifacts(runs: dict[str, Run], small_run: Path) -> None:
    report = Path(runs["run"].info.artifact_uri.removeprefix("file://")) / "report"
    for path in (small_run / "report").rglob("*"):
        assert (report / path.relative_to(small_run / "report")).exists()


def test_a_server_that_is_not_there_is_one_line(
    small_report: Report, small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]  # bound, and nobody listens
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(TrackingFailed, match="Connection refused") as told:
            tracker.find("mlflow", f"http://127.0.0.1:{port}").track(small_report, small_run)
    assert len(str(told.value).splitlines()) == 1


def test_its_makers_are_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from unfooled.trackers.mlflow import _quiet

    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    with _quiet():
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
