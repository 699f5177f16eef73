import pytest
import torch
import toys
from torch import nn

from unfooled.defences.adversarial import adversarial
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels


class Noted(nn.Module):
    """A model that remembers the last images it was shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.shown = torch.empty(0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shown = images.detach()
        logits: torch.Tensor = self.model(images)
        return logits


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_against_a_plane_two_large_steps_reach_the_worst_case(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    found = adversarial(
        plane, images, labels, draws=Draws(0), progress=1.0, eps=0.1, norm=norm, steps=20
    )
    with torch.no_grad():
        margin = plane.margin(images).abs() - 0.1 * plane.weight.norm(p=dual)
    torch.testing.assert_close(
        found.detach(), nn.functional.softplus(-margin), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("progress", "warm_up", "now"),
    [(0.0, 0.5, 0.0), (0.25, 0.5, 0.1), (0.5, 0.5, 0.2), (0.9, 0.5, 0.2), (0.0, 0.0, 0.2)],
)
def test_eps_grows_to_its_value_during_the_warm_up(
    plane: toys.Plane, images: Images, labels: Labels, progress: float, warm_up: float, now: float
) -> None:
    noted = Noted(plane)
    adversarial(
        noted, images, labels, draws=Draws(0), progress=progress, eps=0.2, warm_up=warm_up, steps=9
    )
    assert float((noted.shown - images).abs().max()) == pytest.approx(now, abs=1e-6)
    assert 0 <= float(noted.shown.min()) <= float(noted.shown.max()) <= 1


def test_without_steps_it_trains_on_random_starts(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    noted = Noted(plane)
    found = adversarial(noted, images, labels, draws=Draws(0), progress=1.0, eps=0.2, steps=0)
    assert 0 < float((noted.shown - images).abs().max()) <= 0.2
    torch.testing.assert_close(found, cross_entropy(plane(noted.shown), labels))


def test_it_costs_more_than_noise_of_the_same_size(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    attacked, noisy = (
        adversarial(plane, images, labels, draws=Draws(0), progress=1.0, steps=steps)
        for steps in (2, 0)
    )
    assert (attacked > noisy).all()
