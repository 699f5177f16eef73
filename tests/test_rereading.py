from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from unfooled import attack, evaluation, model
from unfooled.evaluation import Evaluation
from unfooled.pictures import pictures as taken
from unfooled.randomness import Draws
from unfooled.rereading import Facts, attacked, pictures
from unfooled.study import Sweep
from unfooled.threat import Threat

THREATS = [Threat("Linf", 0.1), Threat("Linf", 0.2)]


@pytest.fixture
def facts() -> Facts:
    """Of PGD on stripes, with the images."""
    network = model.build("toys:pyramid", channels=1, size=toys.SIZE, classes=3, seed=1).eval()
    split = toys.striped().test
    ids = split.sample(20)
    pgd = attack.find("pgd", steps=5)
    found, images = evaluation.judged(
        network, split.pixels(ids), split.labels[ids], pgd, THREATS, draws=Draws(0, "", ids)
    )
    arrays = found.arrays() | {"adversarial": np.stack([one.images.numpy() for one in images])}
    return Facts("plain-0-pgd", arrays, network, split, THREATS)


def test_kept_images_stand(facts: Facts) -> None:
    told = attacked(facts)
    fooling = int(Evaluation.of_arrays(facts.arrays).won.sum())
    assert 5 < fooling <= 40
    assert (told.images, told.standing, told.failures) == (fooling, fooling, ())


def test_without_images_there_are_none_to_judge(facts: Facts) -> None:
    del facts.arrays["adversarial"]
    assert attacked(facts).images == 0


def test_a_changed_image_falls_alone(facts: Facts) -> None:
    row = int(np.flatnonzero(Evaluation.of_arrays(facts.arrays).won[1])[0])
    facts.arrays["adversarial"][1, row] += 0.5
    told = attacked(facts)
    assert told.standing == told.images - 1
    assert {name for one in told.failures for name in one.where} == {
        f"plain-0-pgd eps 0.2 image {facts.arrays['ids'][row]}"
    }


def test_images_of_another_shape_are_told(facts: Facts) -> None:
    facts.arrays["adversarial"] = facts.arrays["adversarial"][:, 1:]
    assert "have the shape" in str(attacked(facts).failures[0])


@pytest.fixture
def shown(facts: Facts) -> Facts:
    sweep = Sweep("pgd", {"steps": 5}, "Linf", (0.1, 0.2))
    return replace(facts, arrays=taken(facts.network, facts.split, sweep))


def test_pictures_stand(shown: Facts) -> None:
    told = pictures(shown)
    assert told.images == told.standing == shown.arrays["read_as"].size


def test_a_picture_that_reads_otherwise_falls(shown: Facts) -> None:
    shown.arrays["read_as"][0, 1] = (shown.arrays["read_as"][0, 1] + 1) % 3
    shown.arrays["read_as"][2, 0] = -1
    told = pictures(shown)
    assert told.standing == told.images - 2
    assert "read" in str(told.failures[0])


def test_a_reading_that_rounding_explains_stands(shown: Facts) -> None:
    """A network whose boundary lies within half a step of 1/255 of each picture."""
    first = torch.from_numpy(shown.arrays["images"][1, 0]).float() / 255
    weight = torch.ones(first.numel())
    near = toys.Plane(weight, -float(first.sum()) - 0.01)
    arrays = dict(shown.arrays)
    arrays["read_as"] = np.stack(
        [
            toys.read_by(near, torch.from_numpy(row).float() / 255).numpy()
            for row in arrays["images"]
        ]
    )
    assert arrays["read_as"][1, 0] == 0
    arrays["read_as"][1, 0] = 1
    assert pictures(replace(shown, arrays=arrays, network=near)).failures == ()


def test_pictures_of_other_images_are_told(shown: Facts) -> None:
    shown.arrays["images"][0, 0, 0, 0, 0] ^= 1
    assert "not the data set's images" in str(pictures(shown).failures[0])
