import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toys
from safetensors.torch import save as to_bytes

from unfooled import attack, crafting, exhibit, kept, model
from unfooled.crafting import Order, Saved
from unfooled.errors import InvalidData
from unfooled.threat import Threat

CPU = torch.device("cpu")


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    path = toys.saved(tmp_path / "plain-0.safetensors")
    return crafting.load(path, named=None, folder=None, device=CPU)


@pytest.fixture
def folder(saved: Saved, tmp_path: Path) -> Path:
    order = Order(attack.find("pgd", steps=5), Threat("Linf", 0.3), 12)
    exhibit.save(crafting.craft(saved, order), tmp_path / "out")
    return tmp_path / "out"


def test_what_was_kept_is_read_back(folder: Path) -> None:
    found = kept.read(folder)
    assert found.threat == Threat("Linf", 0.3)
    assert len(found.pictures) == 12
    assert all((folder / "png" / name).is_file() for name in found.pictures)


def test_the_network_is_found_by_the_words_in_the_facts(folder: Path, saved: Saved) -> None:
    found = kept.network(kept.read(folder), None, folder=None, device=CPU)
    assert found.sha256 == saved.sha256


def test_code_that_the_files_name_is_told(folder: Path) -> None:
    assert kept.code(kept.read(folder), None) == ["toys:striped", "toys:pyramid"]
    assert kept.code(kept.read(folder), "mine.py:net") == ["toys:striped"]
    found = kept.read(folder)
    asked = {**found.about["asked"], "which": "strided", "named": "mine.py:data.onnx"}
    hidden = replace(found, about={**found.about, "asked": asked})
    assert kept.code(hidden, None) == ["mine.py:data.onnx"]


def test_a_network_that_lies_elsewhere_is_named(folder: Path, saved: Saved, tmp_path: Path) -> None:
    saved.path.rename(tmp_path / "moved.safetensors")
    with pytest.raises(InvalidData, match="use --model"):
        kept.network(kept.read(folder), None, folder=None, device=CPU)
    there = str(tmp_path / "moved.safetensors")
    found = kept.network(kept.read(folder), there, folder=None, device=CPU)
    assert found.sha256 == saved.sha256


def test_weights_and_normalisation_are_found_again(saved: Saved, tmp_path: Path) -> None:
    given = {"named": "toys:striped", "folder": None, "device": CPU, "weights": saved.path}
    own = crafting.load("toys:pyramid", **given, mean=[0.5], std=[0.25])
    order = Order(attack.find("fgsm"), Threat("Linf", 0.1), 5)
    exhibit.save(crafting.craft(own, order), tmp_path / "own")
    again = kept.network(kept.read(tmp_path / "own"), None, folder=None, device=CPU)
    images = own.data.test.pixels()
    assert torch.equal(again.network(images), own.network(images))


def test_images_of_another_size_are_refused(folder: Path) -> None:
    found = kept.read(folder)
    about = {**found.about, "asked": {"which": "strided", "named": "digits", "weights": None}}
    doubled = {**found.tensors, "images": found.tensors["images"].repeat(1, 1, 2, 2)}
    other = kept.Kept(folder, doubled, about, found.threat)
    with pytest.raises(InvalidData, match="holds images"):
        kept.network(other, None, folder=None, device=CPU)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no folder of unfooled attack"):
        kept.read(tmp_path)


def changed(folder: Path, **tensors: torch.Tensor | None) -> None:
    path = folder / exhibit.TENSORS
    content = path.read_bytes()
    whole = {**model.weights(content), **tensors}
    about = {"unfooled": json.dumps(model.about(content))}
    path.write_bytes(to_bytes({k: v for k, v in whole.items() if v is not None}, about))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"distance": None}, "distance must be torch.float64, not nothing"),
        ({"distance": torch.zeros(12)}, "not torch.float32"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "differ in number"),
        ({"adversarial": torch.zeros(12, 1, 8, 9)}, "have the shape"),
    ],
)
def test_facts_that_are_not_what_they_should_be_are_refused(
    folder: Path, tensors: dict[str, torch.Tensor | None], said: str
) -> None:
    changed(folder, **tensors)
    with pytest.raises(InvalidData, match=said):
        kept.read(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"attack": None},
        {"asked": None},
        {"asked": {"which": "strided"}},
        {"asked": {"which": 3, "named": "digits", "weights": None}},
        {"norm": "L9"},
        {"eps": "much"},
    ],
    ids=str,
)
def test_a_head_that_does_not_say_what_it_must_is_refused(
    folder: Path, change: dict[str, object]
) -> None:
    path = folder / exhibit.TENSORS
    content = path.read_bytes()
    about = {**model.about(content), **change}
    path.write_bytes(to_bytes(model.weights(content), {"unfooled": json.dumps(about)}))
    with pytest.raises(InvalidData, match="damaged or of another kind") as raised:
        kept.read(folder)
    assert "\n" not in str(raised.value)


def test_a_file_that_was_cut_off_is_refused(folder: Path) -> None:
    path = folder / exhibit.TENSORS
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InvalidData, match="damaged or of another kind"):
        kept.read(folder)
