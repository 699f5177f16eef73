import hashlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from PIL import Image

from unfooled import __version__, attack, crafting, exhibit, model
from unfooled.crafting import Crafted, Order, Saved
from unfooled.errors import RunRefused
from unfooled.sheet import SHOWN, sheet, shown
from unfooled.threat import Threat


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    path = toys.saved(tmp_path / "plain-0.safetensors")
    return crafting.load(path, named=None, folder=None, device=torch.device("cpu"))


def crafted(saved: Saved, n: int = 20, aimed: str | None = None, eps: float = 0.3) -> Crafted:
    pgd = attack.find("pgd", steps=5)
    return crafting.craft(saved, Order(pgd, Threat("Linf", eps), n, aimed, 3))


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def test_the_tensors_hold_the_images_and_the_facts(saved: Saved, tmp_path: Path) -> None:
    found = crafted(saved, aimed="runner_up")
    exhibit.save(found, tmp_path / "out")
    tensors = model.weights((tmp_path / "out" / exhibit.TENSORS).read_bytes())
    assert tensors["images"].dtype == tensors["adversarial"].dtype == torch.float32
    assert torch.equal(tensors["images"], found.images)
    assert torch.equal(tensors["adversarial"], found.adversarial)
    for name in ("ids", "labels", "targets", "clean"):
        assert np.array_equal(tensors[name], getattr(found.facts, name)), name
    for name in ("read_as", "read_at_8bit", "distance", "forward", "backward", "until"):
        assert np.array_equal(tensors[name], getattr(found.facts, name)[0]), name


def test_the_head_says_how_the_images_were_made(saved: Saved, tmp_path: Path) -> None:
    exhibit.save(crafted(saved, eps=0.25), tmp_path / "out")
    about = model.about((tmp_path / "out" / exhibit.TENSORS).read_bytes())
    assert about == {
        "attack": "pgd",
        "options": {"steps": 5, "step_size": None, "restarts": 1},
        "norm": "Linf",
        "eps": "0.25",
        "aimed": None,
        "seed": 3,
        "surrogates_sha256": [],
        "model": "plain-0.safetensors",
        "model_sha256": saved.sha256,
        "dataset": "striped",
        "dataset_sha256": saved.data.sha256,
        "unfooled": __version__,
        "asked": {
            "which": str(saved.path),
            "named": "toys:striped",
            "weights": None,
            "mean": None,
            "std": None,
        },
    }
    assert len(saved.sha256) == 64


def test_every_file_has_its_hash(saved: Saved, tmp_path: Path) -> None:
    exhibit.save(crafted(saved, n=4), tmp_path / "out")
    lines = (tmp_path / "out" / exhibit.SUMS).read_text().splitlines()
    sums = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == {
        *sums,
        exhibit.SUMS,
    }
    for name, sha256 in sums.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256


def test_an_infinite_eps_can_be_kept(saved: Saved) -> None:
    found = crafted(saved)
    nearest = replace(found.order, attack=replace(found.order.attack, promise="nearest"))
    endless = replace(nearest, threat=Threat("Linf", math.inf))
    about = model.about(exhibit.packed(replace(found, order=endless)))
    assert json.dumps(about, allow_nan=False)
    assert float(about["eps"]) == math.inf


def test_a_picture_holds_exactly_the_rounded_image(saved: Saved, tmp_path: Path) -> None:
    found = crafted(saved)
    exhibit.save(found, tmp_path / "out")
    for place, one in enumerate(found.facts.ids):
        pixels = opened(tmp_path / "out" / "png" / f"{one}.png")
        back = torch.from_numpy(pixels.copy())[None, None].float() / 255
        assert torch.allclose(back, found.rounded[place], atol=1e-6)
        assert found.order.threat.allows(found.images[place : place + 1], back).all()


def test_a_picture_is_rounded_and_never_truncated(saved: Saved, tmp_path: Path) -> None:
    found = crafted(saved, n=3)
    found.rounded.fill_(200.7 / 255)
    exhibit.save(found, tmp_path / "out")
    assert (opened(tmp_path / "out" / "png" / f"{found.facts.ids[0]}.png") == 201).all()


def test_with_targets_a_picture_is_called_after_its_target_too(
    saved: Saved, tmp_path: Path
) -> None:
    found = crafted(saved, n=4, aimed="every")
    exhibit.save(found, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / "png").iterdir()}
    pairs = zip(found.facts.ids, found.facts.targets, strict=True)  # type: ignore[arg-type]
    assert names == {f"{one}-to-{aim}.png" for one, aim in pairs}
    assert len(names) == 8


def test_an_earlier_attack_is_replaced_and_other_files_are_kept(
    saved: Saved, tmp_path: Path
) -> None:
    exhibit.save(crafted(saved, n=10), tmp_path / "out")
    mine = tmp_path / "out" / "png" / "mine.png"
    mine.write_bytes(b"of the user")
    found = crafted(saved, n=4)
    exhibit.save(found, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / "png").iterdir()}
    assert names == {"mine.png", *(f"{one}.png" for one in found.facts.ids)}


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunRefused, match="choose another by --out"):
        exhibit.ready(tmp_path / "file")


def test_a_ready_folder_is_empty(tmp_path: Path) -> None:
    exhibit.ready(tmp_path / "a" / "b")
    assert [path.name for path in (tmp_path / "a" / "b").rglob("*")] == ["png"]


def test_the_sheet_shows_fooled_images_first_then_those_that_stand(saved: Saved) -> None:
    found = crafted(saved, n=90, eps=0.05)
    rows = shown(found)
    won = [bool(found.won[row]) for row in rows]
    assert won == sorted(won, reverse=True)
    assert len(rows) == min(SHOWN, int(found.facts.correct.sum()))
    assert found.facts.correct[rows].all()


def test_every_pixel_on_the_sheet_is_a_square(saved: Saved) -> None:
    found = crafted(saved)
    first = shown(found)[0]
    with Image.open(io.BytesIO(sheet(found))) as picture:
        drawn = np.asarray(picture.convert("L"))
    tile = (found.images[first, 0] * 255).round().byte().numpy().repeat(14, 0).repeat(14, 1)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, tile.shape)
    places = np.argwhere(windows[:, :, 0, 0] == tile[0, 0])
    assert any((windows[y, x] == tile).all() for y, x in places)


def test_a_sheet_of_no_images_says_so(saved: Saved) -> None:
    found = crafted(saved, n=5)
    found.facts.clean[:] = (found.facts.labels + 1) % 3
    assert shown(found) == []
    with Image.open(io.BytesIO(sheet(found))) as picture:
        assert picture.width > 100
