"""Which images a report shows, and under what."""

import numpy as np
import torch

from unfooled import model, pictures
from unfooled.dataset import Dataset
from unfooled.study import Sweep


def test_every_class_comes_before_any_comes_twice() -> None:
    labels = torch.tensor([2, 2, 0, 1, 1, 0, 2])
    assert pictures.chosen(labels).tolist() == [2, 3, 0, 5, 4, 1, 6]
    many = torch.arange(20).repeat(2)
    assert pictures.chosen(many).tolist() == list(range(pictures.COUNT))


def test_a_quick_attack_is_shown_at_finer_eps_and_its_own_are_among_them(striped: Dataset) -> None:
    network = model.build("toys:pyramid", channels=1, size=8, classes=3, seed=5).eval()
    seen = pictures.pictures(network, striped.test, Sweep("fgsm", {}, "Linf", (0.0, 0.07, 0.24)))
    assert seen["eps"][0] == 0
    assert len(seen["eps"]) == 2 + pictures.STEPS
    assert {0.07, 0.02, 0.24} <= set(seen["eps"].tolist())
    assert seen["images"].shape == (len(seen["eps"]), pictures.COUNT, 1, 8, 8)
    assert seen["read_as"].shape == (len(seen["eps"]), pictures.COUNT)
    moved = np.abs(seen["images"][1:].astype(float) - seen["images"][0]).max(axis=(1, 2, 3, 4))
    assert (moved <= np.ceil(255 * seen["eps"][1:])).all()


def test_no_eps_stands_twice_and_none_is_larger_than_the_studys(striped: Dataset) -> None:
    network = model.build("toys:pyramid", channels=1, size=8, classes=3, seed=5).eval()
    own = (2 / 255, 4 / 255, 8 / 255)
    eps = pictures.pictures(network, striped.test, Sweep("fgsm", {}, "Linf", own))["eps"]
    assert set(own) <= set(eps.tolist())
    assert eps.max() == 8 / 255
    assert np.diff(eps).min() > 1e-3


def test_pixels_are_counted_whole(striped: Dataset) -> None:
    network = model.build("toys:pyramid", channels=1, size=8, classes=3, seed=5).eval()
    sweep = Sweep("fmn", {"steps": 4}, "L0", (5.0,))
    eps = pictures.pictures(network, striped.test, sweep)["eps"].tolist()
    assert eps == [0, 1, 2, 3, 4, 5]


def test_a_costly_attack_is_shown_at_the_studys_eps_alone(striped: Dataset) -> None:
    network = model.build("toys:pyramid", channels=1, size=8, classes=3, seed=5).eval()
    sweep = Sweep("pgd", {"steps": 60}, "Linf", (0.1, 0.2))
    assert pictures.pictures(network, striped.test, sweep)["eps"].tolist() == [0.0, 0.1, 0.2]


def test_where_nothing_is_attacked_the_images_are_shown_as_they_are(striped: Dataset) -> None:
    network = model.build("toys:pyramid", channels=1, size=8, classes=3, seed=5).eval()
    seen = pictures.pictures(network, striped.test, Sweep("fgsm", {}, "Linf", (0.0,)))
    assert seen["eps"].tolist() == [0.0]
    ids = torch.from_numpy(seen["ids"])
    assert np.array_equal(seen["images"][0], striped.test.images[ids].numpy())
