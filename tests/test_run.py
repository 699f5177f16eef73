import json
import sqlite3
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import toys

from unfooled import auditing, colophon, columns, dataset, parting, report, run, store
from unfooled.engine import NEEDED, Done, Failed, Progress
from unfooled.errors import (
    DataMissing,
    InvalidModel,
    InvalidOption,
    InvalidTransform,
    RunRefused,
    UnknownName,
)
from unfooled.in_process import in_process
from unfooled.jobs import jobs
from unfooled.recipe import Plan
from unfooled.run import Step
from unfooled.study import Audit, Certificates, Sweep
from unfooled.worker import Worker

JOBS = 18  # 2 recipes x 2 seeds x (training + 2 attacks + probes) + 2 x pictures


@pytest.fixture
def _serially(no_processes: None, short_probes: None) -> None:
    """In this process, and the annotations are checked."""


@pytest.fixture
def _quickly(_serially: None, unchecked: None) -> None:
    """In this process, for what has nothing to do with shapes."""


def told(folder: Path) -> str:
    """All numbers of a run."""
    return json.dumps(asdict(report.gather(folder).results))


def steps_of(folder: Path, **changes: Any) -> list[Step]:
    steps: list[Step] = []
    run.run(toys.study(), folder, device="cpu", workers=1, on_step=steps.append, **changes)
    return steps


@pytest.mark.usefixtures("_serially")
def test_a_run_does_every_job_and_keeps_it(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, source="# as written\n", note="only a test")
    assert steps[0] == Step(None, 0.0, 0, JOBS)
    ended = [step for step in steps if not isinstance(step.event, Progress)]
    assert [step.finished for step in ended] == list(range(JOBS + 1))
    assert all(isinstance(step.event, Done) for step in ended[1:])
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert (tmp_path / "study.toml").read_text() == "# as written\n"
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["note"] == "only a test"
    assert environment["data"]["images"] == [240, 60, 90]
    assert environment["data"]["sha256"] == toys.striped().sha256
    assert len(list((tmp_path / "models").iterdir())) == 4
    assert len(list((tmp_path / "facts").iterdir())) == 14


@pytest.mark.usefixtures("_serially")
def test_a_study_crafts_on_its_other_recipes_and_turns_classes_into_others(tmp_path: Path) -> None:
    study = toys.study(
        sweeps=(
            Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.2)),
            Sweep("transfer", {"steps": 3}, "Linf", (0.1, 0.2), images=20),
            Sweep("pgd", {"steps": 3}, "Linf", (0.1, 0.2), images=12, targets="every"),
            Sweep("pgd", {"steps": 3}, "Linf", (0.2,), images=12, targets="standing"),
        )
    )
    assert run.run(study, tmp_path, device="cpu", workers=1) == []
    results = report.gather(tmp_path).results
    plain = results.recipes[0]
    transfer = plain.curve("transfer-3", "Linf")
    assert transfer.images == 20
    assert transfer.at(0.1).value <= transfer.at(0.0).value
    # What wants chosen classes has no curve and no part in the worst case.
    assert [curve.attack for curve in plain.curves] == ["FGSM", "transfer-3", "worst case"]
    every = [one for one in results.targeted if one.attack == "PGD-3 to every"]
    assert [(one.recipe, one.eps) for one in every] == [
        (name, eps) for name in ("plain", "flips") for eps in (0.1, 0.2)
    ]
    assert all(one.turned.images == 12 for one in every)
    to_one = [one for one in results.targeted if one.attack == "PGD-3 to standing"]
    assert [cell is None for cell in to_one[0].cells[0]] == [True, False, True]


@pytest.mark.usefixtures("_quickly")
def test_a_target_that_does_not_exist_is_refused_before_any_training(tmp_path: Path) -> None:
    study = toys.study(sweeps=(Sweep("fgsm", {}, "Linf", (0.1,), targets="runner_upp"),))
    with pytest.raises(UnknownName, match="did you mean 'runner_up'"):
        run.run(study, tmp_path, device="cpu", workers=1)


@pytest.mark.usefixtures("_serially")
def test_a_study_whose_seeds_are_trained_at_once_tells_the_same(tmp_path: Path) -> None:
    one, other = tmp_path / "one by one", tmp_path / "at once"
    steps_of(one)
    steps = steps_of(other, together=True)
    assert steps[-1].total == JOBS + 2
    assert sorted(path.name for path in (other / "models").iterdir()) == sorted(
        path.name for path in (one / "models").iterdir()
    )
    found, expected = (report.gather(folder) for folder in (other, one))
    assert found.environment["together"] == ["plain", "flips"]
    assert not expected.environment["together"]
    told = dict(colophon.machine(found).rows)
    assert told["seeds trained at once"] == "Plain, Flips"
    assert "--seeds 2 --together" in told["command"]
    assert "--together" not in dict(colophon.machine(expected).rows)["command"]
    for own, alone in zip(found.results.recipes, expected.results.recipes, strict=True):
        assert own.clean.value == pytest.approx(alone.clean.value, abs=0.05)
    assert not auditing.audit(other, data=None, device="cpu").failures
    assert steps_of(other, together=True) == [Step(None, 1.0, JOBS + 2, JOBS + 2)]
    with pytest.raises(RunRefused, match="seeds: together there, one by one now"):
        steps_of(other)
    with sqlite3.connect(one / "ledger.sqlite") as ledger:  # as an older run has left it
        ledger.execute("DELETE FROM maker WHERE what = 'seeds'")
    with pytest.raises(RunRefused, match="seeds: one by one there, together now"):
        steps_of(one, together=True)


@pytest.mark.usefixtures("_quickly")
def test_what_was_trained_at_once_is_kept_apart_and_not_trained_again_for_nobody(
    tmp_path: Path,
) -> None:
    steps_of(tmp_path, together=True)
    (tmp_path / "facts" / "plain-together.npz").unlink()
    assert steps_of(tmp_path, together=True) == [Step(None, 1.0, JOBS + 2, JOBS + 2)]
    (tmp_path / "models" / "plain-1.safetensors").unlink()
    again = {
        step.event.job.name(toys.study())
        for step in steps_of(tmp_path, together=True)
        if step.event
    }
    assert again == {"plain-together", "plain-1"}


@pytest.mark.usefixtures("_quickly")
def test_one_seed_alone_is_trained_as_ever(tmp_path: Path) -> None:
    study = toys.study(seeds=1)
    for together in (True, False):
        assert run.run(study, tmp_path, device="cpu", workers=1, together=together) == []
    assert not report.gather(tmp_path).environment["together"]


@pytest.mark.usefixtures("_quickly")
def test_a_run_again_does_nothing_again(tmp_path: Path) -> None:
    steps_of(tmp_path)
    before = told(tmp_path)
    assert steps_of(tmp_path) == [Step(None, 1.0, JOBS, JOBS)]
    assert told(tmp_path) == before


@pytest.mark.usefixtures("_quickly")
def test_a_job_whose_file_was_lost_or_damaged_is_done_again_and_no_other(tmp_path: Path) -> None:
    steps_of(tmp_path)
    before = told(tmp_path)
    (tmp_path / "models" / "plain-1.safetensors").unlink()
    (tmp_path / "facts" / "flips-0-0-fgsm-Linf.npz").write_bytes(b"damaged")
    steps = steps_of(tmp_path)
    again = {step.event.job.name(toys.study()) for step in steps if step.event}
    assert again == {"plain-1", "flips-0-0-fgsm-Linf"}
    assert told(tmp_path) == before


@pytest.mark.usefixtures("_quickly")
def test_weights_removed_under_a_run_cost_what_needs_them_and_are_made_again(
    tmp_path: Path,
) -> None:
    def lose(step: Step) -> None:
        if isinstance(step.event, Done) and step.event.job.name(toys.study()) == "plain-0":
            (tmp_path / "models" / "plain-0.safetensors").unlink()

    failed = run.run(toys.study(), tmp_path, device="cpu", workers=1, on_step=lose)
    why = "the weights that it works on cannot be read; run the command again"
    assert {one.message for one in failed} == {why}
    assert "plain-0-1-pgd-Linf" in {one.job.name(toys.study()) for one in failed}
    assert run.run(toys.study(), tmp_path, device="cpu", workers=1) == []
    assert report.gather(tmp_path).results.missing == ()


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_worker_processes_give_the_same_numbers_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = toys.study(audit=Audit(images=4))
    assert run.run(study, tmp_path / "workers", device="cpu", workers=2) == []
    monkeypatch.setattr("unfooled.engines.local.local", in_process)
    assert run.run(study, tmp_path / "serial", device="cpu") == []
    assert told(tmp_path / "workers") == told(tmp_path / "serial")


@pytest.mark.usefixtures("_quickly")
def test_work_that_is_cut_into_parts_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = toys.study(seeds=1, certificates=Certificates((0.01,)))
    assert run.run(study, tmp_path / "whole", device="cpu") == []
    monkeypatch.setattr(parting, "_IMAGES", 40)
    monkeypatch.setattr(parting, "_PASSES", 1.0)
    assert run.run(study, tmp_path / "parts", device="cpu") == []
    facts = {path.name for path in (tmp_path / "parts" / "facts").iterdir()}
    for place in (1, 2, 3):
        assert f"flips-0-0-fgsm-Linf-{place}of3.npz" in facts
        assert f"plain-0-certified-{place}of3.npz" in facts
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    for name, column in columns.facts(tmp_path / "whole").items():
        assert len(column) == len(columns.facts(tmp_path / "parts")[name]), name
    judged = auditing.audit(tmp_path / "parts", data=None, device="cpu")
    assert judged.failures == ()
    (tmp_path / "parts" / "facts" / "flips-0-0-fgsm-Linf-2of3.npz").unlink()
    assert report.gather(tmp_path / "parts").results.missing == ("flips-0",)


@pytest.mark.usefixtures("_quickly")
@pytest.mark.parametrize(("most", "sent"), [(2**31, True), (1000, False)])
def test_an_engine_on_other_machines_is_handed_the_data_unless_they_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, sent: bool
) -> None:
    met: list[Worker] = []

    def far(jobs: Any, perform: Any, weights_of: Any, means: Any) -> Generator[Done, None, None]:
        met.append(perform.__self__)
        yield from ()

    monkeypatch.setattr("unfooled.engines.ray.ray", far)
    monkeypatch.setattr(run, "_CARRIED", most)
    assert run.run(toys.study(), tmp_path, device="cpu", by="ray") == []
    assert (met[0].own is not None) == sent
    assert met[0].sha256 == toys.striped().sha256


@pytest.mark.usefixtures("_quickly")
def test_a_training_that_fails_is_a_hole_and_the_others_go_on(tmp_path: Path) -> None:
    plain, flips = toys.study().recipes
    wild = replace(flips, plan=Plan(epochs=1, batch_size=8, learning_rate=1e30))
    study = toys.study(recipes=(plain, wild))
    failed = run.run(study, tmp_path, device="cpu")
    why = {event.job.name(study): event.message for event in failed}
    # The baseline is probed with images that are crafted on the other recipe's network.
    assert len(why) == len(failed) == JOBS // 2 + 2
    assert "loss became" in why["flips-0"]
    assert why["flips-0-0-fgsm-Linf"] == "a job that it needs failed"
    of_others = {name for name in why if not name.startswith("flips")}
    assert of_others == {"plain-0-probed", "plain-1-probed"}
    found = report.gather(tmp_path)
    assert [recipe.name for recipe in found.results.recipes] == ["plain"]
    assert found.results.missing == ("flips-0", "flips-1")
    assert found.answer.short == "Not shown."


@pytest.mark.usefixtures("_quickly")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"dataset": "no/such.py:data"}, UnknownName),
        ({"dataset": "mnist"}, DataMissing),
        ({"model": "toys:plane"}, InvalidModel),
        ({"model": "no/such.py:model"}, UnknownName),
        (
            {"recipes": (replace(toys.study().recipes[0], transforms=(("toys:too_bright", {}),)),)},
            InvalidTransform,
        ),
    ],
)
def test_what_cannot_work_is_found_out_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], error: type[Exception]
) -> None:
    monkeypatch.delenv("UNFOOLED_DATA", raising=False)
    monkeypatch.setattr(
        "unfooled.engines.local.local", lambda *_, **__: pytest.fail("the training began")
    )
    with pytest.raises(error):
        run.run(toys.study(**changes), tmp_path, device="cpu")


@pytest.mark.usefixtures("_quickly")
def test_a_folder_that_cannot_be_written_is_found_out_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").write_bytes(b"in the way")
    monkeypatch.setattr(dataset, "find", lambda *_, **__: pytest.fail("the data were read"))
    with pytest.raises(RunRefused, match="cannot write"):
        run.run(toys.study(), tmp_path / "run", device="cpu")


@pytest.mark.usefixtures("_quickly")
def test_a_changed_study_in_an_old_folder_is_refused(tmp_path: Path) -> None:
    steps_of(tmp_path)
    with pytest.raises(RunRefused, match=r"seeds: 2 there, 3 now"):
        run.run(toys.study(seeds=3), tmp_path, device="cpu")


@pytest.mark.usefixtures("_quickly")
def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        store.opened(tmp_path, toys.study().plain()),
        pytest.raises(RunRefused, match="another run is at work"),
    ):
        steps_of(tmp_path)


@pytest.mark.usefixtures("_quickly")
def test_a_disk_that_fills_up_stops_the_run_which_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = store.write, []

    def write(path: Path, content: bytes) -> None:
        calls.append(path)
        if path.suffix in (".npz", ".safetensors") and len(calls) > 8:
            raise RunRefused("the disk is full")
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", write)
        with pytest.raises(RunRefused, match="full"):
            steps_of(tmp_path)
    steps = steps_of(tmp_path)
    assert 0 < steps[0].finished < JOBS
    assert steps[-1].finished == JOBS


@pytest.mark.parametrize("device", ["tpu", "CPU", ""])
def test_a_device_that_does_not_exist_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(InvalidOption, match="auto, cpu or cuda"):
        run.run(toys.study(), tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_cuda_is_refused_where_there_is_none_and_auto_takes_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run.chosen("auto") == "cpu"
    with pytest.raises(InvalidOption, match="no CUDA device"):
        run.chosen("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert run.chosen("auto") == run.chosen("cuda") == "cuda"
    assert run.chosen("cpu") == "cpu"


@pytest.mark.parametrize("workers", [0, -1])
def test_a_run_needs_a_worker(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InvalidOption, match="at least 1"):
        run.run(toys.study(), tmp_path / "run", workers=workers)


def test_each_reason_is_told_once() -> None:
    study = toys.study()
    (one, two, three, four, *_) = jobs(study, toys.striped(), "cpu")
    failed = [Failed(job, "no luck") for job in (one, two, three)]
    failed += [Failed(job, NEEDED) for job in (one, two)]
    assert run.reasons([*failed, Failed(four, "other")], study) == [
        f"{one.name(study)}, {two.name(study)} and 1 more failed: no luck",
        f"{four.name(study)} failed: other",
        "2 jobs failed that needed one of these",
    ]
    assert run.reasons([], study) == []
