import json
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from unfooled import crafting, radii
from unfooled.errors import InvalidOption
from unfooled.smoothing import ABSTAINS, Smoothed


@pytest.fixture
def smoothed() -> Smoothed:
    return Smoothed(
        labels=np.array([0, 1, 2, 2]),
        read_as=np.array([0, 1, 0, ABSTAINS]),
        radii=np.array([0.3, 0.1, 0.6, 0.0]),
        sigma=0.25,
        n0=100,
        n=1000,
        alpha=0.001,
    )


def test_the_share_falls_with_the_radius(smoothed: Smoothed) -> None:
    found = [radii.certified(smoothed, one) for one in (0.0, 0.2, 0.5)]
    assert [one.value for one in found] == [0.5, 0.25, 0.0]
    assert all(one.low <= one.value <= one.high for one in found)
    assert found[2].high > 0


def test_no_radius_is_told_that_no_image_can_reach(smoothed: Smoothed) -> None:
    assert radii.chosen(smoothed, None) == [0.0, 0.125, 0.25, 0.375, 0.5]
    assert radii.chosen(smoothed, [2.0, 0.5, 0.5]) == [0.5, 2.0]


@pytest.mark.parametrize("asked", [[-0.1], [float("nan")], [float("inf")]])
def test_radii_that_are_none_are_refused(smoothed: Smoothed, asked: list[float]) -> None:
    with pytest.raises(InvalidOption, match="radii must be 0 or more"):
        radii.chosen(smoothed, asked)


def test_what_is_certified_and_how_surely_is_said(smoothed: Smoothed) -> None:
    said = radii.caution(smoothed)
    assert "nothing about the network by itself" in said
    assert "99.9 %" in said


def test_the_table_has_a_row_for_each_radius(smoothed: Smoothed) -> None:
    rows = radii.summary(smoothed, [0.0, 0.2])
    assert [row[0] for row in rows] == ["0", "0.2"]
    assert rows[0][1].startswith("50.0\N{NO-BREAK SPACE}% (")


def test_the_file_holds_everything(smoothed: Smoothed, tmp_path: Path) -> None:
    path = toys.saved(tmp_path / "plain-0.safetensors")
    saved = crafting.load(path, named=None, folder=None, device=torch.device("cpu"))
    found = json.loads(radii.packed(saved, smoothed, [5, 6, 7, 8], [0.0, 0.2]))
    assert found["model_sha256"] == saved.sha256
    assert found["images"]["ids"] == [5, 6, 7, 8]
    assert found["images"]["abstained"] == [False, False, False, True]
    assert [one["value"] for one in found["certified_accuracy"]] == [0.5, 0.25]
    assert (found["norm"], found["sigma"], found["n"], found["alpha"]) == ("L2", 0.25, 1000, 0.001)
    assert "smoothed classifier" in found["about"]
