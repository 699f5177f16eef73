import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.losses import margin
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat

DRAWS = Draws(0)
THREAT = Threat("L2", math.inf)


class Flat(nn.Module):
    """Reads class 0 everywhere; its gradient is 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nothing = images.flatten(1).sum(1) * 0
        return torch.stack([nothing + 1, nothing], dim=1)


def shares(plane: toys.Plane, images: Images, adversarial: Images, lead: float = 0.0) -> PerImage:
    """How far images were moved, in distances of the nearest point that leads by so much."""
    with torch.no_grad():
        nearest = (plane.margin(images).abs() + lead) / plane.weight.norm()
    return THREAT.distance(images, adversarial) / nearest


@pytest.fixture
def far(plane: toys.Plane, images: Images) -> Labels:
    """Rows of the images farthest from the plane; near it one step of Adam is a long way."""
    with torch.no_grad():
        return plane.margin(images).abs().argsort(descending=True)[:8]


def test_it_finds_the_nearest_point_of_a_plane(
    plane: toys.Plane, images: Images, labels: Labels, far: Labels
) -> None:
    tried = find("carlini_wagner", steps=100, searches=6, constant=0.1)
    adversarial = tried.run(plane, images[far], labels[far], THREAT, draws=DRAWS)
    assert (toys.read_by(plane, adversarial) != labels[far]).all()
    found = shares(plane, images[far], adversarial)
    assert (found >= 1 - 1e-4).all()
    assert (found <= 1.05).all()
    assert found.mean() <= 1.02


@pytest.mark.parametrize("constant", [1e-3, 1e3])
def test_any_first_constant_is_searched_from(
    plane: toys.Plane, images: Images, labels: Labels, far: Labels, constant: float
) -> None:
    tried = find("carlini_wagner", constant=constant, steps=80, searches=9)
    adversarial = tried.run(plane, images[far], labels[far], THREAT, draws=DRAWS)
    assert (shares(plane, images[far], adversarial) <= 1.1).all()


def test_an_image_that_nothing_fools_comes_back_unchanged_and_not_black(images: Images) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    adversarial = find("carlini_wagner", steps=20).run(Flat(), images, labels, THREAT, draws=DRAWS)
    assert torch.equal(adversarial, images)


def test_black_and_white_pixels_can_be_left(plane: toys.Plane) -> None:
    images = toys.pictures(12).round()
    labels = toys.read_by(plane, images)
    tried = find("carlini_wagner", steps=40, searches=3)
    adversarial = tried.run(plane, images, labels, THREAT, draws=DRAWS)
    assert (toys.read_by(plane, adversarial) != labels).all()


def test_the_wrong_class_leads_by_the_confidence(
    plane: toys.Plane, images: Images, labels: Labels, far: Labels
) -> None:
    tried = find("carlini_wagner", confidence=1.0, steps=60, searches=5, constant=0.1)
    adversarial = tried.run(plane, images[far], labels[far], THREAT, draws=DRAWS)
    assert (margin(predict(plane, adversarial), labels[far]) >= 1 - 1e-4).all()
    assert (shares(plane, images[far], adversarial, lead=1.0) <= 1.1).all()


def test_targets_are_reached(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    tried = find("carlini_wagner", steps=40, searches=3)
    adversarial = tried.run(net, images, labels, THREAT, draws=DRAWS, targets=targets)
    assert (predict(net, adversarial).argmax(1) == targets).all()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"searches": 0},
        {"learning_rate": 0.0},
        {"confidence": -1.0},
        {"constant": 0.0},
    ],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="carlini_wagner needs"):
        find("carlini_wagner", **options).run(plane, images, labels, THREAT, draws=DRAWS)
