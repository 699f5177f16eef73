import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)
THREAT = Threat("L2", math.inf)


class Flat(nn.Module):
    """Reads class 0 everywhere; its gradient is 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nothing = images.flatten(1).sum(1) * 0
        return torch.stack([nothing + 1, nothing], dim=1)


def test_it_finds_the_nearest_point_of_a_plane(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    adversarial = find("ddn").run(plane, images, labels, THREAT, draws=DRAWS)
    assert (toys.read_by(plane, adversarial) != labels).all()
    with torch.no_grad():
        nearest = plane.margin(images).abs() / plane.weight.norm()
    distance = THREAT.distance(images, adversarial)
    assert (distance >= nearest * (1 - 1e-4)).all()
    assert (distance <= nearest * 1.02 + 1e-4).all()


@pytest.mark.parametrize("radius", [0.01, 100.0])
def test_any_first_radius_leads_to_the_plane(
    plane: toys.Plane, images: Images, labels: Labels, radius: float
) -> None:
    adversarial = find("ddn", radius=radius).run(plane, images, labels, THREAT, draws=DRAWS)
    with torch.no_grad():
        nearest = plane.margin(images).abs() / plane.weight.norm()
    assert (THREAT.distance(images, adversarial) <= nearest * 1.03 + 1e-4).all()


def test_an_image_that_nothing_fools_comes_back_unchanged(images: Images) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    assert torch.equal(find("ddn").run(Flat(), images, labels, THREAT, draws=DRAWS), images)


def test_a_model_that_is_sure_of_itself_is_attacked_all_the_same(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    usual = find("ddn").run(plane, images, labels, THREAT, draws=DRAWS)
    # Its softmax is 0 and 1 in float32, and so the gradient of the cross-entropy is 0.
    sure = toys.Plane(plane.weight.detach() * 1e4, float(plane.offset.detach()) * 1e4)
    adversarial = find("ddn").run(sure, images, labels, THREAT, draws=DRAWS)
    assert (toys.read_by(sure, adversarial) != labels).all()
    torch.testing.assert_close(
        THREAT.distance(images, adversarial), THREAT.distance(images, usual), rtol=0.02, atol=1e-3
    )


def test_targets_are_reached(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    adversarial = find("ddn").run(net, images, labels, THREAT, draws=DRAWS, targets=targets)
    assert (predict(net, adversarial).argmax(1) == targets).all()
    nearest = find("ddn").run(net, images, labels, THREAT, draws=DRAWS)
    farther = THREAT.distance(images, adversarial) >= 0.98 * THREAT.distance(images, nearest)
    assert farther.all()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"radius": 0.0},
        {"gamma": 1.0},
        {"final_gamma": 0.0},
        {"gamma": 0.1, "final_gamma": 0.2},
        {"step_size": 0.0},
    ],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="ddn needs"):
        find("ddn", **options).run(plane, images, labels, THREAT, draws=DRAWS)
