import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat

DRAWS = Draws(0)
NORMS = ("L0", "L1", "L2", "Linf")


class Flat(nn.Module):
    """Reads class 0 everywhere; its gradient is 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nothing = images.flatten(1).sum(1) * 0
        return torch.stack([nothing + 1, nothing], dim=1)


def greedy(plane: toys.Plane, images: Images, labels: Labels) -> tuple[PerImage, PerImage]:
    """The least L1 and L0 sizes that cross the plane, each pixel going no farther than it can.

    For L1 the pixels of the largest weight go first, for L0 those that gain most.
    """
    with torch.no_grad():
        towards = plane.weight * torch.where(labels == 1, -1, 1)[:, None]
        room = torch.where(towards > 0, 1 - images.flatten(1), images.flatten(1))
        weight, missing = towards.abs(), plane.margin(images).abs()[:, None]
        order = weight.argsort(1, descending=True)
        steps, gains = room.gather(1, order), (weight * room).gather(1, order)
        before = gains.cumsum(1) - gains
        share = ((missing - before) / gains).clamp(0, 1)
        most = (weight * room).sort(1, descending=True).values.cumsum(1)
        return (share * steps).sum(1), (most < missing).sum(1) + 1.0


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_it_finds_the_nearest_point_of_a_plane(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    threat = Threat(norm, math.inf)
    adversarial = find("fmn").run(plane, images, labels, threat, draws=DRAWS)
    assert (toys.read_by(plane, adversarial) != labels).all()
    with torch.no_grad():
        nearest = plane.margin(images).abs() / plane.weight.norm(p=dual)
    distance = threat.distance(images, adversarial)
    assert (distance >= nearest * (1 - 1e-4)).all()
    assert (distance <= nearest * 1.02 + 1e-4).all()


def test_it_finds_the_nearest_point_of_a_plane_that_the_box_allows_under_l1(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threat = Threat("L1", math.inf)
    adversarial = find("fmn").run(plane, images, labels, threat, draws=DRAWS)
    nearest, _ = greedy(plane, images, labels)
    distance = threat.distance(images, adversarial)
    assert (distance >= nearest * (1 - 1e-4)).all()
    assert (distance <= nearest * 1.05 + 1e-4).all()


def test_it_changes_hardly_more_pixels_than_a_plane_needs(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threat = Threat("L0", math.inf)
    adversarial = find("fmn").run(plane, images, labels, threat, draws=DRAWS)
    assert (toys.read_by(plane, adversarial) != labels).all()
    _, fewest = greedy(plane, images, labels)
    count = threat.distance(images, adversarial)
    assert (count >= fewest).all()
    assert (count <= fewest + 1).all()
    assert (count == fewest).float().mean() > 0.8


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_that_nothing_fools_comes_back_unchanged(images: Images, norm: str) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    threat = Threat(norm, math.inf)
    assert torch.equal(
        find("fmn", steps=20).run(Flat(), images, labels, threat, draws=DRAWS), images
    )


@pytest.mark.parametrize("norm", NORMS)
def test_targets_are_reached(net: nn.Module, images: Images, norm: str) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    threat = Threat(norm, math.inf)
    adversarial = find("fmn").run(net, images, labels, threat, draws=DRAWS, targets=targets)
    assert (predict(net, adversarial).argmax(1) == targets).all()


@pytest.mark.parametrize("norm", NORMS)
def test_images_that_need_more_do_not_change_what_others_get(
    plane: toys.Plane, images: Images, labels: Labels, norm: str
) -> None:
    threat = Threat(norm, math.inf)
    with torch.no_grad():
        easy = plane.margin(images).abs().argsort()[:5]
    tried = find("fmn", steps=30)
    together = tried.run(plane, images, labels, threat, draws=DRAWS)
    alone = tried.run(plane, images[easy], labels[easy], threat, draws=DRAWS)
    torch.testing.assert_close(together[easy], alone)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"gamma": 1.0},
        {"final_gamma": 0.0},
        {"gamma": 0.1, "final_gamma": 0.2},
        {"step_size": 0.0},
    ],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="fmn needs"):
        find("fmn", **options).run(plane, images, labels, Threat("L2", 1.0), draws=DRAWS)
