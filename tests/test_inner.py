import pytest
import torch
import toys

from unfooled.inner import climbed, grown
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.threat import Threat


@pytest.mark.parametrize(
    ("progress", "warm_up", "now"),
    [(0.0, 0.5, 0.0), (0.25, 0.5, 0.15), (0.5, 0.5, 0.3), (1.0, 0.5, 0.3), (0.0, 0.0, 0.3)],
)
def test_eps_grows_evenly_and_then_stays(progress: float, warm_up: float, now: float) -> None:
    assert grown(0.3, progress, warm_up) == pytest.approx(now)


def test_against_a_plane_enough_steps_reach_its_corner() -> None:
    plane = toys.plane()
    images = toys.pictures(6, low=0.3, high=0.7)
    labels = toys.read_by(plane, images)
    moved = climbed(
        plane,
        images,
        labels,
        Threat("Linf", 0.1),
        cross_entropy,
        draws=Draws(0),
        steps=4,
        step_size=0.5,
    )
    away = plane.weight.detach().view(1, 1, 8, 8).sign() * (1 - 2 * labels)[:, None, None, None]
    torch.testing.assert_close(moved, images + 0.1 * away)


def test_without_steps_it_is_the_random_start() -> None:
    net, images = toys.net(), toys.pictures(4)
    threat, labels = Threat("L2", 0.5), torch.zeros(4, dtype=torch.int64)
    found = climbed(
        net, images, labels, threat, cross_entropy, draws=Draws(3), steps=0, step_size=0.5
    )
    assert torch.equal(found, threat.random_start(images, Draws(3)))
