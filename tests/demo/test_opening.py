import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import played
import pytest
import torch
import toys
from torch import nn

from unfooled import dataset
from unfooled.demo import opening
from unfooled.errors import InvalidData, InvalidOption, RunRefused
from unfooled.recipe import Recipe


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that may be damaged."""
    home = tmp_path_factory.mktemp("copies") / "copy"
    shutil.copytree(small_run, home, ignore=shutil.ignore_patterns(".lock"))
    return home


def test_a_runs_networks_are_on_the_page_one_a_recipe(small_run: Path) -> None:
    game = opening.of_run(small_run, data=None, device="cpu")
    assert [one.name for one in game.players] == ["plain", "noise", "adversarial"]
    assert [one.control for one in game.players] == ["", "", "positive"]
    assert [one.note for one in game.players] == [
        "trained as usual",
        "GaussianNoise (sigma 0.2)",
        "training: adversarial (steps 1)",
    ]
    assert all(one.proven is not None for one in game.players)
    assert game.eps_max == 0.2
    assert [one.name for one in game.attacks] == ["fgsm", "pgd", "square"]


def test_a_damaged_or_unfinished_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="holds no run"):
        opening.of_run(tmp_path, data=None, device="cpu")
    weights = run / "models" / "plain-0.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"x")
    with pytest.raises(InvalidData, match="ledger"):
        opening.of_run(run, data=None, device="cpu")
    weights.unlink()
    with pytest.raises(InvalidData, match="cannot read"):
        opening.of_run(run, data=None, device="cpu")
    with sqlite3.connect(run / "ledger.sqlite") as ledger:
        ledger.execute("DELETE FROM jobs WHERE name = 'plain-0'")
    ledger.close()
    assert len(opening.of_run(run, data=None, device="cpu").players) == 2
    with sqlite3.connect(run / "ledger.sqlite") as ledger:
        ledger.execute("DELETE FROM jobs")
    ledger.close()
    with pytest.raises(RunRefused, match="finished"):
        opening.of_run(run, data=None, device="cpu")


def test_a_run_that_names_code_is_not_run(run: Path) -> None:
    path = run / "study.json"
    whole = path.read_text()
    path.write_text(whole.replace('"strided"', '"evil.py:net"'))
    with pytest.raises(InvalidOption, match=r"evil\.py:net"):
        opening.of_run(run, data=None, device="cpu")
    path.write_text(whole)


def test_the_newest_run_is_the_one_begun_last(small_run: Path, tmp_path: Path) -> None:
    assert opening.newest(tmp_path / "nowhere") is None
    for name in ("old", "empty", "new"):
        (tmp_path / name / "models").mkdir(parents=True)
        (tmp_path / name / "study.json").write_text("{}")
    assert opening.newest(tmp_path) is None
    for name in ("old", "new"):
        (tmp_path / name / "models" / "plain-0.safetensors").touch()
    assert opening.newest(tmp_path) == tmp_path / "new"


class Wide(nn.Module):
    """One layer passes on more numbers than bounds are for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 11, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images).mean((2, 3))[:, :10]


class Sealed(nn.Module):
    """Gives no gradient."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.detach().flatten(1)[:, :10]


def test_what_cannot_be_done_with_a_network_is_not_offered() -> None:
    data = dataset.find("digits")
    wide = opening.player(Recipe("wide", "Wide"), "", Wide(), data)
    sealed = opening.player(Recipe("sealed", "Sealed"), "", Sealed(), data)
    assert wide.proven is None
    game = opening.game(toys.study(), data, [wide, sealed], "")
    assert [one.name for one in game.attacks] == ["square"]


def test_only_what_one_can_write_is_drawn() -> None:
    data = dataset.find("digits")
    network = played.means(data.train.pixels(), data.train.labels)
    one = [opening.player(Recipe("plain", "Plain"), "", network, data)]
    assert opening.game(toys.study(), data, one, "").drawable
    fashion = replace(data, name="fashion_mnist")
    assert not opening.game(toys.study(), fashion, one, "").drawable


def test_without_a_norm_of_ours_the_usual_eps_is_the_largest() -> None:
    data = dataset.find("digits")
    study = toys.study()
    l2 = replace(study, sweeps=tuple(replace(one, norm="L2") for one in study.sweeps))
    network = played.means(data.train.pixels(), data.train.labels)
    one = [opening.player(Recipe("plain", "Plain"), "", network, data)]
    assert opening.game(l2, data, one, "").eps_max == 0.3


def test_a_recipe_in_words() -> None:
    shift = ("RandomAffine", {"degrees": 15, "scale": [0.9, 1.1]})
    jpeg = ("jpeg", {"quality": 50})
    recipe = Recipe("x", "X", (shift,), ("label_smoothing", {"smoothing": 0.1}), input=(jpeg,))
    assert opening.told(recipe) == (
        "RandomAffine (degrees 15, scale 0.9 to 1.1); training: label smoothing (smoothing 0.1); "
        "input: jpeg (quality 50)"
    )
