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


class Flat(nn.Module):
    """Reads class 0 everywhere; its gradient is 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nothing = images.flatten(1).sum(1) * 0
        return torch.stack([nothing + 1, nothing], dim=1)


class Three(nn.Module):
    """Class 0 is read up to 0.7 of one pixel, and up to 0.52 of the other."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        across, down = images[:, 0, 0, 0], images[:, 0, 0, 1]
        # Class 1 has the larger logit at the start, class 2 the nearer boundary.
        return torch.stack([torch.zeros_like(across), across - 0.7, 50 * (down - 0.52)], dim=1)


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_it_crosses_a_plane_by_the_overshoot(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    threat = Threat(norm, math.inf)
    adversarial = find("deepfool").run(plane, images, labels, threat, draws=DRAWS)
    assert (toys.read_by(plane, adversarial) != labels).all()
    with torch.no_grad():
        nearest = plane.margin(images).abs() / plane.weight.norm(p=dual)
    expected = (nearest.double() + 1e-4) * 1.02
    torch.testing.assert_close(threat.distance(images, adversarial), expected, rtol=1e-3, atol=1e-5)


def test_it_goes_to_the_nearest_boundary_of_the_classes_it_considers() -> None:
    images, labels = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    threat = Threat("L2", math.inf)
    for candidates, read_as, distance in ((10, 2, 0.02), (2, 1, 0.2)):
        tried = find("deepfool", candidates=candidates)
        adversarial = tried.run(Three(), images, labels, threat, draws=DRAWS)
        assert int(Three()(adversarial).argmax()) == read_as
        assert float(threat.distance(images, adversarial)) == pytest.approx(distance, rel=0.03)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_an_image_that_nothing_fools_comes_back_unchanged(images: Images, norm: str) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    threat = Threat(norm, math.inf)
    assert torch.equal(find("deepfool").run(Flat(), images, labels, threat, draws=DRAWS), images)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_targets_are_reached(net: nn.Module, images: Images, norm: str) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    threat = Threat(norm, math.inf)
    adversarial = find("deepfool").run(net, images, labels, threat, draws=DRAWS, targets=targets)
    assert (predict(net, adversarial).argmax(1) == targets).all()


@pytest.mark.parametrize("options", [{"steps": 0}, {"overshoot": -0.1}, {"candidates": 1}])
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="deepfool needs"):
        find("deepfool", **options).run(plane, images, labels, Threat("L2", 1.0), draws=DRAWS)
