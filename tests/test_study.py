import json
import pickle

import toys

from unfooled.study import Sweep
from unfooled.threat import Threat


def test_a_study_is_plain_json_both_ways() -> None:
    plain = toys.study().plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["recipes"][1]["transforms"] == [["RandomHorizontalFlip", {"p": 0.5}]]
    assert plain["recipes"][0]["defence"] == ["standard", {}]


def test_a_study_can_be_sent_to_a_worker() -> None:
    assert pickle.loads(pickle.dumps(toys.study())) == toys.study()


def test_eps_0_is_no_threat() -> None:
    assert Sweep("fgsm", {}, "L2", (0.0, 0.5, 1.0)).threats == [Threat("L2", 0.5), Threat("L2", 1)]


def test_a_sweeps_title_is_its_attacks() -> None:
    assert Sweep("pgd", {"steps": 7}, "Linf", (0.1,)).title == "PGD-7"


def test_every_job_has_a_name_of_its_own() -> None:
    study = toys.study()
    names = [
        study.job_name(kind, recipe, seed, sweep)
        for kind in ("train", "attack", "pictures")
        for recipe in range(2)
        for seed in range(2)
        for sweep in range(2 if kind == "attack" else 1)
    ]
    assert len(set(names)) == len(names)
    assert study.job_name("train", 0, 1) == "plain-1"
    assert study.job_name("attack", 1, 0, 1) == "flips-0-1-pgd-Linf"


def test_a_users_own_attack_names_a_file_without_its_folder() -> None:
    study = toys.study(sweeps=(Sweep("some/where/mine.py:attack", {}, "L2", (0.1,)),))
    assert study.job_name("attack", 0, 0) == "plain-0-0-attack-L2"
