import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import toys

from unfooled import jobs
from unfooled.dataset import Dataset
from unfooled.jobs import Job
from unfooled.recipe import Plan, Recipe
from unfooled.study import Audit, Certificates, Corruptions, Study, Sweep


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
        for rest in (
            *("", "-0-fgsm-Linf", "-1-pgd-Linf", "-probed"),
            *(["-pictures"] if seed == 0 else []),
        )
    )
    for name, job in found.items():
        if job.kind not in ("train", "probed"):
            assert job.needs == (found["-".join(name.split("-")[:2])],)
    # Probes craft on the baseline's network of that seed; for the baseline on the next one's.
    assert found["plain-1-probed"].needs == (found["plain-1"], found["flips-1"])
    assert found["flips-1-probed"].needs == (found["flips-1"], found["plain-1"])


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
    assert moved == {n for n in before if before[n].kind in ("attack", "pictures")}
    files["transform"].write_text("# another\nfrom toys import darker\n")
    last = by_name(study, striped)
    moved = {name for name in before if last[name].key != after[name].key}
    on_it = {"plain-0-probed", "plain-1-probed"}
    assert moved == on_it | {name for name in before if name.startswith("dark")}


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
    on_it = {"plain-0-probed", "plain-1-probed"}
    assert moved == on_it | {name for name in before if name.startswith("own")}


def test_what_stands_before_a_network_and_the_split_decide_what_is_measured_but_no_training(
    striped: Dataset,
) -> None:
    study = toys.study(corruptions=Corruptions(("fog",), (1,)), certificates=Certificates((0.1,)))
    plain, flips = study.recipes
    before = by_name(study, striped)
    bits = replace(study, recipes=(plain, replace(flips, input=(("bit_depth", {"bits": 1}),))))
    moved = {n for n, job in by_name(bits, striped).items() if before[n].key != job.key}
    own = {n for n in before if n.startswith("flips") and before[n].kind != "train"}
    assert moved == own | {"plain-0-probed", "plain-1-probed"}
    fewer = by_name(replace(study, audit=Audit(images=7)), striped)
    moved = {n for n, job in fewer.items() if before[n].key != job.key}
    assert moved == {n for n in before if before[n].kind == "probed"}
    other = by_name(replace(study, split="validation"), striped)
    moved = {n for n, job in other.items() if before[n].key != job.key}
    assert moved == {n for n in before if before[n].kind != "train"}
    tighter = replace(study, certificates=Certificates((0.1,), None, 10, 100))
    changed = by_name(tighter, striped)
    moved = {n for n, job in changed.items() if before[n].key != job.key}
    # What is certified is spared, so that it decides the attacks' facts too.
    assert moved == {n for n in before if before[n].kind in ("certified", "attack")}
    assert all(changed[n].cost > before[n].cost for n in moved if before[n].kind == "certified")
    kinds = {job.kind for job in before.values()}
    assert kinds == {"train", "attack", "corrupted", "certified", "pictures", "probed"}


def test_all_code_of_the_users_own_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from toys import darker, net, pyramid\n")
    mine = f"{tmp_path}/mine.py"
    study = toys.study(
        model=f"{mine}:pyramid",
        recipes=(
            Recipe("plain", "Plain"),
            Recipe(
                "own",
                "Own",
                transforms=((f"{mine}:darker", {}),),
                defence=("adversarial", {"attack": f"{mine}:attack"}),
            ),
        ),
    )
    found = jobs.own_code(study)
    assert set(found) == {f"{mine}:{name}" for name in ("pyramid", "darker", "attack")}
    assert len({one.rpartition(" ")[2] for one in found.values()}) == 1
    assert jobs.own_code(toys.study(model="strided")) == {}


def test_a_sweep_with_one_target_is_not_cut_as_all_images_of_a_part_may_be_of_that_class(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unfooled.parting._IMAGES", 40)
    monkeypatch.setattr("unfooled.parting._PASSES", 1.0)
    for target, parts in (("", 3), ("random", 3), ("every", 3), ("standing", 1)):
        one = Sweep("pgd", {"steps": 2}, "Linf", (0.1,), targets=target)
        study = toys.study(sweeps=(toys.study().sweeps[0], one))
        found = {job.part for job in jobs.jobs(study, striped, "cpu") if job.sweep == 1}
        assert found == {(place, parts) for place in range(parts)}


def test_seeds_that_are_trained_at_once_come_from_one_job_where_the_recipe_allows_it(
    striped: Dataset,
) -> None:
    study = toys.study()
    fixed = replace(study.recipes[1], name="fixed", defence=("adversarial", {"eps": 0.1}))
    study = replace(study, recipes=(*study.recipes, fixed))
    alone = by_name(study, striped)
    found = {job.name(study): job for job in jobs.jobs(study, striped, "cpu", together=True)}
    assert found.keys() - alone.keys() == {"plain-together", "flips-together"}
    assert found["plain-together"].cost == 2 * alone["plain-0"].cost
    for seed in range(2):
        assert found[f"plain-{seed}"].needs == (found["plain-together"],)
        assert found[f"plain-{seed}"].key != alone[f"plain-{seed}"].key
        assert found[f"fixed-{seed}"] == alone[f"fixed-{seed}"]
    assert len({job.key for job in found.values()}) == len(found)
    # A network is taken out of that file before anything else is done that waited for a training.
    places = {job.key: place for place, job in enumerate(found.values())}
    last = max(places[job.key] for job in found.values() if job.kind == "train")
    assert all(places[job.key] > last for job in found.values() if job.kind in ("attack", "probed"))
    only = replace(study, seeds=1)
    assert jobs.jobs(only, striped, "cpu", together=True) == jobs.jobs(only, striped, "cpu")
