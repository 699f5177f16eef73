import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from unfooled import jobs, model
from unfooled.dataset import Dataset
from unfooled.errors import JobFailed
from unfooled.evaluation import Evaluation
from unfooled.jobs import Job, Worker
from unfooled.recipe import Plan, Recipe
from unfooled.study import Certificates, Corruptions, Study, Sweep


def by_name(study: Study, data: Dataset, device: str = "cpu") -> dict[str, Job]:
    return {job.name(study): job for job in jobs.jobs(study, data, device)}


def test_a_study_has_trainings_attacks_on_each_and_pictures_of_the_first_seed(
    striped: Dataset,
) -> None:
    found = by_name(toys.study(), striped)
    assert sorted(found) == sorted(
        f"{recipe}-{seed}{rest}"
        for recipe in ("plain", "flips")
        for seed in (0, 1)
        for rest in ("", "-0-fgsm-Linf", "-1-pgd-Linf", *(["-pictures"] if seed == 0 else []))
    )
    for name, job in found.items():
        if job.kind != "train":
            assert job.needs == (found["-".join(name.split("-")[:2])],)


def test_every_job_comes_after_the_one_that_it_needs_and_long_ones_first(
    striped: Dataset,
) -> None:
    study = toys.study()
    slow = replace(study.recipes[1], defence=("adversarial", {"steps": 9}))
    found = jobs.jobs(replace(study, recipes=(study.recipes[0], slow)), striped, "cpu")
    places = {job.key: place for place, job in enumerate(found)}
    assert all(places[one.key] < places[job.key] for job in found for one in job.needs)
    assert [job.recipe for job in found if job.kind == "train"] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "times"),
    [
        ({"transforms": (("MixUp", {}),)}, 2),
        ({"plan": Plan(epochs=2, weight_perturbation=0.01)}, 2),
        ({"defence": ("adversarial", {"steps": 9})}, 10),
    ],
)
def test_what_is_learned_from_more_often_costs_more(
    striped: Dataset, change: dict[str, Any], times: int
) -> None:
    study = toys.study()
    before = replace(study.recipes[0], plan=Plan(epochs=2))
    after = replace(before, name="more", **change)
    found = by_name(replace(study, recipes=(before, after)), striped)
    assert found["more-0"].cost == times * found["plain-0"].cost


def test_no_two_jobs_share_a_key(striped: Dataset) -> None:
    found = jobs.jobs(toys.study(), striped, "cpu")
    assert len({job.key for job in found}) == len(found)


def changed(study: Study, what: str) -> Study:
    plain, flips = study.recipes
    fgsm, pgd = study.sweeps
    changes: dict[str, Any] = {
        "question": {"question": "Another?"},
        "name": {"name": "other"},
        "margin": {"margin": 0.1},
        "answer_eps": {"answer_eps": 0.2},
        "title": {"recipes": (plain, replace(flips, title="Other"))},
        "control": {"recipes": (plain, replace(flips, control="sham"))},
        "seeds": {"seeds": 3},
        "model": {"model": "toys:dropping"},
        "plan": {"recipes": (plain, replace(flips, plan=Plan(epochs=9)))},
        "defence": {"recipes": (plain, replace(flips, defence=("label_smoothing", {})))},
        "transforms": {"recipes": (plain, replace(flips, transforms=()))},
        "eps": {"sweeps": (fgsm, replace(pgd, eps=(0.1, 0.3)))},
        "images": {"sweeps": (fgsm, replace(pgd, images=31))},
        "options": {"sweeps": (fgsm, replace(pgd, options={"steps": 6}))},
    }
    return replace(study, **changes[what])


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("question", set()),
        ("name", set()),
        ("margin", set()),
        ("answer_eps", set()),
        ("title", set()),
        ("control", set()),
        ("seeds", set()),
        ("model", {"plain-0", "flips-1", "plain-0-0-fgsm-Linf", "flips-0-pictures"}),
        ("plan", {"flips-1", "flips-1-0-fgsm-Linf", "flips-0-pictures"}),
        ("defence", {"flips-1", "flips-1-0-fgsm-Linf", "flips-0-pictures"}),
        ("transforms", {"flips-1", "flips-1-0-fgsm-Linf", "flips-0-pictures"}),
        ("eps", {"plain-0-1-pgd-Linf"}),
        ("images", {"plain-0-1-pgd-Linf"}),
        ("options", {"plain-0-1-pgd-Linf"}),
    ],
)
def test_a_key_changes_with_what_decides_the_result_and_with_nothing_else(
    striped: Dataset, what: str, other: set[str]
) -> None:
    before, after = by_name(toys.study(), striped), by_name(changed(toys.study(), what), striped)
    some = {"plain-0", "flips-1", "plain-0-0-fgsm-Linf", "flips-1-0-fgsm-Linf"} | {
        "flips-0-pictures",
        "plain-0-1-pgd-Linf",
    }
    moved = {name for name in some if before[name].key != after[name].key}
    if what == "model":
        assert moved == some
    else:
        assert moved == other


def test_other_data_or_another_device_change_every_key(striped: Dataset) -> None:
    before = {job.key for job in jobs.jobs(toys.study(), striped, "cpu")}
    other = replace(striped, sha256="0" * 64)
    assert not before & {job.key for job in jobs.jobs(toys.study(), other, "cpu")}
    assert not before & {job.key for job in jobs.jobs(toys.study(), striped, "cuda")}


def test_a_users_changed_file_changes_the_keys_of_what_it_decides(
    striped: Dataset, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: tmp_path / f"{name}.py" for name in ("attack", "transform")}
    files["attack"].write_text("from unfooled.attacks.fgsm import fgsm\n")
    files["transform"].write_text("from toys import darker\n")
    dark = Recipe("dark", "Dark", transforms=((f"{files['transform']}:darker", {}),))
    own = Sweep(f"{files['attack']}:fgsm", {}, "Linf", (0.1,))
    study = toys.study(recipes=(toys.study().recipes[0], dark), sweeps=(own,))
    before = by_name(study, striped)
    files["attack"].write_text("# another\nfrom unfooled.attacks.fgsm import fgsm\n")
    after = by_name(study, striped)
    moved = {name for name in before if before[name].key != after[name].key}
    assert moved == {name for name in before if before[name].kind != "train"}
    files["transform"].write_text("# another\nfrom toys import darker\n")
    last = by_name(study, striped)
    moved = {name for name in before if last[name].key != after[name].key}
    assert moved == {name for name in before if name.startswith("dark")}


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(toys.study(), None, "cpu")


@pytest.fixture(scope="module")
def done(worker: Worker) -> dict[str, bytes]:
    """Every job of the toy study, done in this process."""
    files: dict[str, bytes] = {}
    names: dict[str, bytes] = {}
    for job in jobs.jobs(worker.study, worker.data, "cpu"):
        weights = tuple(files[one.key] for one in job.needs)
        files[job.key] = names[job.name(worker.study)] = worker.perform(
            job, weights, lambda _: None
        )
    return names


def test_a_trainings_file_holds_weights_and_what_came_of_it(
    worker: Worker, done: dict[str, bytes]
) -> None:
    about = model.about(done["flips-1"])
    assert (about["recipe"], about["seed"], about["overfitted"]) == ("flips", 1, None)
    assert (about["architecture"], about["dataset"]) == ("toys:pyramid", "toys:striped")
    assert len(about["history"]) == 2
    network = model.restored(done["flips-1"], "toys:pyramid", channels=1, size=8, classes=3)
    assert not network.training
    read = toys.read_by(network, worker.data.validation.pixels())
    share = float((read == worker.data.validation.labels).float().mean())
    assert share == pytest.approx(about["history"][-1]["validation"])


def test_an_attacks_file_holds_its_facts(worker: Worker, done: dict[str, bytes]) -> None:
    found = Evaluation.of_arrays(jobs.unpacked(done["plain-0-0-fgsm-Linf"]))
    assert found.ids.tolist() == list(range(90))
    assert [threat.eps for threat in found.threats] == [0.1, 0.2]
    assert found.labels.tolist() == worker.data.test.labels.tolist()
    few = Evaluation.of_arrays(jobs.unpacked(done["plain-0-1-pgd-Linf"]))
    assert few.ids.tolist() == worker.data.test.sample(30).tolist()
    assert np.array_equal(few.clean, found.clean[few.ids])


def test_the_pictures_show_one_image_of_each_class_before_and_after(
    worker: Worker, done: dict[str, bytes]
) -> None:
    found = jobs.unpacked(done["plain-0-pictures"])
    assert worker.data.test.labels[found["ids"]].tolist() == [0, 1, 2]
    assert found["images"].shape == (3, 3, 1, toys.SIZE, toys.SIZE)
    assert found["images"].dtype == np.uint8
    assert np.array_equal(found["images"][0], worker.data.test.images[found["ids"]].numpy())
    assert found["read_as"].shape == (3, 3)
    facts = Evaluation.of_arrays(jobs.unpacked(done["plain-0-0-fgsm-Linf"]))
    assert found["read_as"][0].tolist() == facts.clean[found["ids"]].tolist()
    assert found["filters"].shape == (4, 1, 3, 3)
    assert found["maps"].shape == (4, toys.SIZE // 2, toys.SIZE // 2)


def test_a_job_done_twice_gives_the_same_bytes(worker: Worker, done: dict[str, bytes]) -> None:
    again = Worker(toys.study(), None, "cpu")
    for name, job in by_name(again.study, again.data).items():
        if name in ("flips-0", "flips-0-1-pgd-Linf"):
            weights = (done["flips-0"],) if job.needs else ()
            assert again.perform(job, weights, lambda _: None) == done[name]


def test_progress_of_a_training_is_reported(worker: Worker) -> None:
    shares: list[float] = []
    job = next(job for job in jobs.jobs(worker.study, worker.data, "cpu") if job.kind == "train")
    worker.perform(job, (), shares.append)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1


def test_a_training_that_fails_is_an_error(striped: Dataset) -> None:
    wild = replace(toys.study().recipes[0], plan=Plan(epochs=1, batch_size=8, learning_rate=1e30))
    wrong = Worker(toys.study(recipes=(wild,)), None, "cpu")
    job = jobs.jobs(wrong.study, striped, "cpu")[0]
    with pytest.raises(JobFailed, match="loss became"):
        wrong.perform(job, (), lambda _: None)


def test_a_job_is_plain_enough_to_be_told(striped: Dataset) -> None:
    assert json.dumps([asdict(job) for job in jobs.jobs(toys.study(), striped, "cpu")])


def test_a_users_own_attack_inside_a_defence_decides_the_training(
    striped: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from unfooled.attacks.mifgsm import mifgsm\n")
    own = Recipe("own", "Own", defence=("adversarial", {"attack": f"{file}:mifgsm"}))
    study = toys.study(recipes=(toys.study().recipes[0], own))
    before = by_name(study, striped)
    file.write_text("# another\nfrom unfooled.attacks.mifgsm import mifgsm\n")
    after = by_name(study, striped)
    moved = {name for name in before if before[name].key != after[name].key}
    assert moved == {name for name in before if name.startswith("own")}


def test_what_stands_before_a_network_and_the_split_decide_what_is_measured_but_no_training(
    striped: Dataset,
) -> None:
    study = toys.study(corruptions=Corruptions(("fog",), (1,)), certificates=Certificates((0.1,)))
    plain, flips = study.recipes
    before = by_name(study, striped)
    bits = replace(study, recipes=(plain, replace(flips, input=(("bit_depth", {"bits": 1}),))))
    moved = {n for n, job in by_name(bits, striped).items() if before[n].key != job.key}
    assert moved == {n for n in before if n.startswith("flips") and before[n].kind != "train"}
    other = by_name(replace(study, split="validation"), striped)
    moved = {n for n, job in other.items() if before[n].key != job.key}
    assert moved == {n for n in before if before[n].kind != "train"}
    tighter = replace(study, certificates=Certificates((0.1,), None, 10, 100))
    changed = by_name(tighter, striped)
    moved = {n for n, job in changed.items() if before[n].key != job.key}
    assert moved == {n for n in before if before[n].kind == "certified"}
    assert all(changed[n].cost > before[n].cost for n in moved)
    kinds = {job.kind for job in before.values()}
    assert kinds == {"train", "attack", "corrupted", "certified", "pictures"}
