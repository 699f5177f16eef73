import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from PIL import Image
from safetensors.torch import save as to_bytes

from unfooled import attack, crafting, exhibit, kept, model
from unfooled.crafting import Order, Saved
from unfooled.rejudging import Verified
from unfooled.threat import Threat
from unfooled.verifying import verify

CPU = torch.device("cpu")


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    path = toys.saved(tmp_path / "plain-0.safetensors")
    return crafting.load(path, named=None, folder=None, device=CPU)


def attacked(saved: Saved, folder: Path, name: str = "pgd", aimed: str | None = None) -> Path:
    norm = attack.find(name).norms[0]
    order = Order(attack.find(name), Threat(norm, 0.3), 12, aimed)
    exhibit.save(crafting.craft(saved, order), folder)
    return folder


@pytest.fixture
def folder(saved: Saved, tmp_path: Path) -> Path:
    return attacked(saved, tmp_path / "out")


def again(folder: Path, which: str | None = None) -> Verified:
    found = kept.read(folder)
    return verify(found, kept.network(found, which, folder=None, device=CPU))


def kinds(found: Verified) -> set[str]:
    return {failure.kind for failure in found.failures}


@pytest.mark.parametrize(
    ("name", "aimed"), [("pgd", None), ("pgd", "every"), ("fmn", None), ("spatial", None)]
)
def test_what_an_attack_saved_stands(
    saved: Saved, tmp_path: Path, name: str, aimed: str | None
) -> None:
    found = again(attacked(saved, tmp_path / "out", name, aimed))
    assert found.failures == ()
    assert found.standing == found.images >= 12
    assert found.whole == found.files == found.images + 2


def rewritten(folder: Path, row: int, name: str, value: float) -> None:
    """A number of the facts made up, and the hash with it."""
    path = folder / exhibit.TENSORS
    content = path.read_bytes()
    tensors = model.weights(content)
    tensors[name].view(len(tensors["ids"]), -1)[row, 0] = value
    made = to_bytes(tensors, {"unfooled": json.dumps(model.about(content))})
    path.write_bytes(made)
    sums = (folder / exhibit.SUMS).read_text()
    old, new = hashlib.sha256(content).hexdigest(), hashlib.sha256(made).hexdigest()
    (folder / exhibit.SUMS).write_text(sums.replace(old, new))


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("adversarial", 1.5, "range"),
        ("adversarial", float("nan"), "range"),
        ("images", 0.123, "original"),
        ("labels", 7, "original"),
        ("ids", 10**6, "original"),
        ("distance", 0.01, "distance"),
        ("read_as", 9, "reading"),
        ("clean", 9, "reading"),
    ],
)
def test_a_made_up_number_falls_though_its_hash_is_right(
    folder: Path, name: str, value: float, kind: str
) -> None:
    rewritten(folder, 2, name, value)
    found = again(folder)
    assert kind in kinds(found)
    assert found.standing == 11
    assert all("image" in str(one) for one in found.failures if one.kind != "hash")


def test_a_changed_picture_falls_twice(folder: Path) -> None:
    path = folder / "png" / kept.read(folder).pictures[0]
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        pixels = np.asarray(picture).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    found = again(folder)
    assert kinds(found) == {"hash", "picture"}
    assert (found.standing, found.whole) == (11, 13)


def test_broken_and_missing_pictures_fall(folder: Path) -> None:
    first, second, third = kept.read(folder).pictures[:3]
    (folder / "png" / first).unlink()
    (folder / "png" / second).write_bytes(b"no picture")
    Image.new("L", (3000, 3000)).save(folder / "png" / third)
    found = again(folder)
    assert (found.standing, found.whole) == (9, 11)
    assert {one.sentence for one in found.failures if one.kind == "hash"} == {
        "they are missing",
        "they are not what was written",
    }


def test_without_a_record_of_hashes_damage_cannot_be_told(folder: Path) -> None:
    (folder / exhibit.SUMS).unlink()
    found = again(folder)
    assert kinds(found) == {"hash"}
    assert (found.standing, found.whole, found.files) == (12, 0, 14)


def test_another_network_is_told_by_its_hash(folder: Path, tmp_path: Path) -> None:
    other = model.build("toys:pyramid", channels=1, size=toys.SIZE, classes=3, seed=5)
    about = {"architecture": "toys:pyramid", "dataset": "toys:striped"}
    (tmp_path / "other-0.safetensors").write_bytes(model.save(other, about))
    found = again(folder, str(tmp_path / "other-0.safetensors"))
    assert {"weights", "reading"} <= kinds(found)
    assert found.standing < 12
