import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import save as to_bytes

from unfooled import attack, crafting, model
from unfooled.crafting import Crafted, Order, Saved
from unfooled.errors import (
    InvalidData,
    InvalidInput,
    InvalidModel,
    InvalidOption,
    InvalidThreat,
    UnknownName,
)
from unfooled.threat import Threat

CPU = torch.device("cpu")
ABOUT = {"architecture": "toys:pyramid", "dataset": "toys:striped"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A network of a run, though an untrained one."""
    return toys.saved(tmp_path / "plain-0.safetensors")


@pytest.fixture
def saved(path: Path) -> Saved:
    return crafting.load(path, named=None, folder=None, device=CPU)


def crafted(
    saved: Saved, name: str = "pgd", aimed: str | None = None, **options: object
) -> Crafted:
    order = Order(attack.find(name, **options), Threat("Linf", 0.3), n=20, aimed=aimed)
    return crafting.craft(saved, order)


def test_a_saved_network_reads_as_it_did_when_it_was_saved(saved: Saved) -> None:
    network = model.build("toys:pyramid", channels=1, size=toys.SIZE, classes=3, seed=1)
    images = saved.data.test.pixels()
    assert torch.equal(toys.read_by(saved.network, images), toys.read_by(network, images))
    assert not saved.network.training


def test_the_images_are_the_sample_that_studies_take(saved: Saved) -> None:
    found = crafted(saved)
    assert found.facts.ids.tolist() == saved.data.test.sample(20).tolist()
    assert torch.equal(found.images, saved.data.test.pixels(torch.from_numpy(found.facts.ids)))


def test_more_images_than_there_are_means_all(saved: Saved) -> None:
    order = Order(attack.find("fgsm"), Threat("Linf", 0.1), n=10**6)
    whole = crafting.craft(saved, order)
    assert len(whole.images) == len(saved.data.test)


def test_the_facts_are_those_of_the_images(saved: Saved) -> None:
    found = crafted(saved)
    assert np.array_equal(found.facts.read_as[0], toys.read_by(saved.network, found.adversarial))
    assert found.order.threat.allows(found.images, found.adversarial).all()
    assert found.won.any()
    assert not (found.won & ~found.facts.correct).any()


def test_the_rounded_images_are_bytes_within_eps(saved: Saved) -> None:
    found = crafted(saved)
    levels = found.rounded * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert found.order.threat.allows(found.images, found.rounded).all()


@pytest.mark.parametrize(("aimed", "rows"), [("runner_up", 20), ("every", 40)])
def test_targets_are_wrong_classes(saved: Saved, aimed: str, rows: int) -> None:
    facts = crafted(saved, aimed=aimed).facts
    assert facts.targets is not None
    assert len(facts.labels) == rows
    assert (facts.targets != facts.labels).all()


def test_a_class_as_target_leaves_out_its_own_images(saved: Saved) -> None:
    facts = crafted(saved, aimed="standing").facts
    assert facts.targets is not None
    assert set(facts.targets) == {1}
    assert 1 not in facts.labels
    assert np.array_equal(facts.ids, crafted(saved, aimed="1").facts.ids)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no network of a run"),
        (b"weights", "is no network of a run"),
        (to_bytes({"w": torch.zeros(3)}), "is no network of a run"),
        (to_bytes({"w": torch.zeros(3)}, {"unfooled": "[1]"}), "is no network of a run"),
        (to_bytes({"w": torch.zeros(3)}, {"unfooled": "{}"}), "'architecture'"),
        (to_bytes({"w": torch.zeros(3)}, {"unfooled": json.dumps(ABOUT)})[:-5], "no safetensors"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(InvalidData, match=said):
        crafting.load(tmp_path / "other", named=None, folder=None, device=CPU)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="No such file"):
        crafting.load(tmp_path / "nowhere", named=None, folder=None, device=CPU)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    about = {**ABOUT, "architecture": "toys:dropping"}
    path = toys.saved(tmp_path / "plain-0.safetensors", about)
    with pytest.raises(InvalidModel, match="do not fit toys:dropping for 1 x 8 x 8 images"):
        crafting.load(path, named=None, folder=None, device=CPU)


@pytest.mark.parametrize("n", [0, -3])
def test_no_images_are_refused(n: int) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        Order(attack.find("pgd"), Threat("Linf", 0.1), n=n)


@pytest.mark.parametrize("threat", [Threat("L0", 3), Threat("Linf", math.inf)], ids=str)
def test_a_threat_that_the_attack_cannot_work_under_is_refused(threat: Threat) -> None:
    with pytest.raises(InvalidThreat):
        Order(attack.find("pgd"), threat)


@pytest.mark.parametrize("aimed", ["3", "standin", "runnerup"])
def test_a_target_that_is_no_class_is_refused(saved: Saved, aimed: str) -> None:
    with pytest.raises(UnknownName):
        crafted(saved, aimed=aimed)


def test_surrogates_are_given_as_networks(saved: Saved) -> None:
    found = crafting.find("transfer", {"steps": 3}, [saved])
    assert found.all_options["surrogates"] == [saved.network]
    with pytest.raises(InvalidOption, match="--surrogate"):
        crafting.find("transfer", {"surrogates": "plain-0.safetensors"}, [])
    with pytest.raises(InvalidOption, match="pgd has no option 'surrogates'"):
        crafting.find("pgd", {}, [saved])
