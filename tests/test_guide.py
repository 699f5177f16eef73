import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from unfooled import attack, catalog, config, crafting, guide
from unfooled.crafting import Crafted, Order
from unfooled.threat import Threat

ATTACKS = catalog.names("attacks")


def crafted(folder: Path, aimed: str | None = None) -> Crafted:
    path = toys.saved(folder / "plain-0.safetensors")
    saved = crafting.load(path, named=None, folder=None, device=torch.device("cpu"))
    pgd = attack.find("pgd", steps=5)
    return crafting.craft(saved, Order(pgd, Threat("Linf", 0.2), 30, aimed, 3))


def test_the_ladder_names_every_attack_and_goes_down_by_what_it_knows() -> None:
    rungs = guide.ladder()
    assert sorted(rung.name for rung in rungs) == ATTACKS
    places = [list(guide.KNOWS).index(rung.knows) for rung in rungs]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_page_of_an_attack_says_what_it_is(name: str) -> None:
    found = attack.find(name)
    said = dict(guide.facts(found))
    assert ("white box" in said["knows"]) == (found.knows == "gradients")
    assert found.promise in said["promise"]
    assert guide.command(found).startswith("unfooled attack --model")
    assert f"--attack {name}" in guide.command(found)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_snippet_is_part_of_a_study_file(name: str, tmp_path: Path) -> None:
    snippet = guide.snippet(attack.find(name))
    eps = tomllib.loads(snippet)["attacks"][0]["eps"][-1]
    path = tmp_path / "shown.toml"
    path.write_text(
        f'dataset = "digits"\nanswer_eps = {eps}\n[recipes.plain]\n[recipes.other]\n{snippet}\n'
    )
    assert config.read(path).sweeps[0].attack == name


def test_the_summary_counts_what_the_facts_hold(tmp_path: Path) -> None:
    found = crafted(tmp_path)
    said = dict(guide.summary(found))
    correct, won = int(found.facts.correct.sum()), int(found.won.sum())
    assert said["fooled"] == f"{won} of the {correct} read correctly are misread"
    assert said["clean accuracy"].startswith(f"{100 * correct / 30:.1f}")
    assert said["robust accuracy"].startswith(f"{100 * (correct - won) / 30:.1f}")
    assert "median 0.2 in Linf" in said["distance"]
    assert said["at 8 bits"].endswith(f"of {won} stay fooled")
    assert "outside eps" not in said


def test_with_every_target_an_image_counts_once_and_stands_only_against_all(
    tmp_path: Path,
) -> None:
    found = crafted(tmp_path, "every")
    said = dict(guide.summary(found))
    stands = found.facts.robust[0].reshape(30, 2).all(1)
    assert said["robust accuracy"].startswith(f"{100 * stands.mean():.1f}")
    assert said["robust accuracy"].endswith("against every target")
    assert said["clean accuracy"].endswith("30 images")
    assert "pairs of image and target" in said["fooled"]


def test_images_outside_eps_are_told(tmp_path: Path) -> None:
    found = crafted(tmp_path)
    found.facts.inside[0, :3] = False
    assert dict(guide.summary(found))["outside eps"].startswith("3 images")


def test_a_network_that_reads_nothing_correctly_has_a_summary(tmp_path: Path) -> None:
    found = crafted(tmp_path)
    found.facts.clean[:] = np.where(found.facts.labels == 0, 1, 0)
    said = dict(guide.summary(found))
    assert said["fooled"] == "0 of the 0 read correctly are misread"
    assert "none" in said["distance"]
