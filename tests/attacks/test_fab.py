import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)
DUALS = [("Linf", 1.0), ("L2", 2.0), ("L1", math.inf)]
ANYWHERE = Threat("L2", math.inf)


def needed(plane: toys.Plane, images: Images, dual: float) -> torch.Tensor:
    with torch.no_grad():
        return plane.margin(images).abs() / plane.weight.norm(p=dual)


@pytest.mark.parametrize(("norm", "dual"), DUALS)
@pytest.mark.parametrize("over_targets", [0, 1])
def test_the_nearest_point_of_a_plane_is_found(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: float, over_targets: int
) -> None:
    near = images if norm != "L1" else images.clamp(0.45, 0.55)
    labels = toys.read_by(plane, near)
    # Only where one pixel's room suffices is the distance to the plane that within the box.
    inside = torch.ones_like(labels, dtype=torch.bool)
    if norm == "L1":
        inside = needed(plane, near, dual) < 0.4
    threat = Threat(norm, math.inf)
    tried = find("fab", steps=10, over_targets=over_targets)
    changed = tried.run(plane, near, labels, threat, draws=DRAWS)
    assert fooled(predict(plane, changed), labels).all()
    least = needed(plane, near, dual)
    ratio = (threat.distance(near, changed) / least)[inside]
    assert len(ratio) > 3
    assert (ratio >= 1 - 1e-4).all()
    assert (ratio <= 1.01).all()


@pytest.mark.parametrize(("norm", "dual"), DUALS[:2])
def test_within_eps_exactly_those_fall_that_can(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: float
) -> None:
    least = needed(plane, images, dual)
    eps = float(least.median())
    tried = find("fab", steps=10)
    changed = tried.run(plane, images, labels, Threat(norm, eps), draws=DRAWS)
    falls = toys.read_by(plane, changed) != labels
    assert falls[least < 0.99 * eps].all()
    assert not falls[least > eps * (1 + 1e-4)].any()


@pytest.mark.parametrize(("over_targets", "each"), [(0, 3), (1, 1), (2, 2), (9, 2)])
def test_gradients_are_as_many_as_the_options_say(
    net: nn.Module, images: Images, over_targets: int, each: int
) -> None:
    labels = toys.read_by(net, images)
    tried = find("fab", steps=7, restarts=2, over_targets=over_targets)
    passes = tried.sweep(net, images, labels, [ANYWHERE], draws=DRAWS)[0].passes
    assert (passes.backward == 2 * 7 * each).all()


def test_with_a_finite_eps_an_image_leaves_once_it_is_misread_within_it(
    net: nn.Module, images: Images
) -> None:
    labels = toys.read_by(net, images)
    tried = find("fab", steps=20)
    found = [
        tried.sweep(net, images, labels, [Threat("L2", eps)], draws=DRAWS)[0]
        for eps in (0.8, math.inf)
    ]
    near = Threat("L2", 0.8)
    within, anywhere = (near.allows(images, one.images) for one in found)
    assert torch.equal(
        within & fooled(predict(net, found[0].images), labels),
        anywhere & fooled(predict(net, found[1].images), labels),
    )
    assert (found[0].passes.backward <= found[1].passes.backward).all()
    assert found[0].passes.backward.sum() < found[1].passes.backward.sum() / 2


def test_a_sweep_falls_at_each_eps_as_if_it_were_the_only_one(
    net: nn.Module, images: Images
) -> None:
    labels = toys.read_by(net, images)
    tried = find("fab", steps=10)
    threats = [Threat("Linf", eps) for eps in (0.0, 0.03, 0.06, 0.3)]
    together = tried.sweep(net, images, labels, threats, draws=DRAWS)
    for threat, found in zip(threats, together, strict=True):
        alone = tried.run(net, images, labels, threat, draws=DRAWS)
        falls, expected = (fooled(predict(net, one), labels) for one in (found.images, alone))
        assert torch.equal(falls, expected)


def test_random_starts_come_no_farther(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    one, three = (
        find("fab", steps=10, restarts=restarts).run(net, images, labels, ANYWHERE, draws=DRAWS)
        for restarts in (1, 3)
    )
    far = ANYWHERE.distance(images, one)
    assert (ANYWHERE.distance(images, three) <= far * (1 + 1e-4)).all()


class Flat(nn.Module):
    """No boundary is in reach: the second class never wins."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images.flatten(1).mean(1)
        return torch.stack([bright + 5, bright * 0], dim=1)


def test_an_image_that_is_never_misread_comes_back_as_it_was(images: Images) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    for norm in ("Linf", "L2", "L1"):
        tried = find("fab", steps=3, restarts=2)
        changed = tried.run(Flat(), images, labels, Threat(norm, math.inf), draws=DRAWS)
        assert torch.equal(changed, images)


def test_a_targeted_image_is_read_as_its_target(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    tried = find("fab", steps=30)
    changed = tried.run(net, images, labels, ANYWHERE, draws=DRAWS, targets=targets)
    moved = ANYWHERE.distance(images, changed) > 0
    assert moved.float().mean() > 0.9
    assert (predict(net, changed).argmax(1) == targets)[moved].all()


def test_scaled_logits_change_nothing(net: nn.Module, images: Images) -> None:
    class Scaled(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = net(images)
            return logits * 2.0**-80  # squares of such gradients underflow

    labels = toys.read_by(net, images)
    tried = find("fab", steps=5)
    usual = tried.run(net, images, labels, ANYWHERE, draws=DRAWS)
    scaled = tried.run(Scaled(), images, labels, ANYWHERE, draws=DRAWS)
    torch.testing.assert_close(scaled, usual)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"restarts": 0},
        {"over_targets": -1},
        {"alpha_max": 1.5},
        {"eta": 0.9},
        {"beta": 1.0},
    ],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="fab needs steps >= 1"):
        find("fab", **options).run(plane, images, labels, ANYWHERE, draws=DRAWS)
