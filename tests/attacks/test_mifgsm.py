import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.threat import Threat

DRAWS = Draws(0)


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_every_image_within_eps_of_a_plane_falls_and_no_other(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    with torch.no_grad():
        far = plane.margin(images).abs() / plane.weight.norm(p=dual)
    eps = float(far.median()) * 1.0001
    changed = find("mifgsm").run(plane, images, labels, Threat(norm, eps), draws=DRAWS)
    assert torch.equal(toys.read_by(plane, changed) != labels, far < eps)


def test_one_step_of_size_eps_is_fgsm(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    threat = Threat("Linf", 0.01)
    one = find("mifgsm", steps=1, step_size=0.01).run(net, images, labels, threat, draws=DRAWS)
    assert torch.equal(one, find("fgsm").run(net, images, labels, threat, draws=DRAWS))


class Turning(nn.Module):
    """The first pixel's gradient turns round after the first step, and is 9 times as large then."""

    def forward(self, images: Images) -> Logits:
        first, second = images[:, 0, 0, 0], images[:, 0, 0, 1]
        slope = torch.where(second.detach() < 0.505, 1.0, -9.0)
        score = slope * (first - first.detach()) + second * slope.abs() * 3 - 30
        return torch.stack([torch.zeros_like(score), score], dim=1)


@pytest.mark.parametrize(("decay", "expected"), [(1.0, 0.5), (0.5, 0.49), (0.0, 0.49)])
def test_gradients_count_alike_and_earlier_ones_fade(decay: float, expected: float) -> None:
    images = torch.full((3, 1, 1, 2), 0.5)
    labels = torch.zeros(3, dtype=torch.int64)
    attack = find("mifgsm", steps=3, step_size=0.01, decay=decay)
    changed = attack.run(Turning(), images, labels, Threat("Linf", 0.3), draws=DRAWS)
    # By paper: the normalised gradients of the first pixel are 1/4, -1/4, -1/4, so that the sums
    # are 1/4, 0, -1/4 with decay 1, where the second step leaves the first pixel as it is.
    torch.testing.assert_close(changed[:, 0, 0, 0], torch.full((3,), expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(changed[:, 0, 0, 1], torch.full((3,), 0.53), rtol=0, atol=1e-6)


def test_each_image_that_stands_takes_exactly_the_steps_and_others_leave(net: nn.Module) -> None:
    images = toys.pictures(40)
    labels = toys.read_by(net, images)
    attack = find("mifgsm", steps=7)
    (found,) = attack.sweep(net, images, labels, [Threat("Linf", 0.05)], draws=DRAWS)
    misread = found.passes.until > 0
    assert 0 < int(misread.sum()) < 40
    assert (found.passes.backward[~misread] == 7).all()
    assert (found.passes.forward[misread] == found.passes.until[misread]).all()


def test_a_vanishing_gradient_is_followed(plane: toys.Plane, images: Images) -> None:
    class Faint(nn.Module):
        """Reads as the plane does, by logits of 1e-30 of the size."""

        def forward(self, images: Images) -> Logits:
            logits: Logits = plane(images)
            return logits * 1e-30

    labels = toys.read_by(plane, images)
    threat = Threat("L2", 0.2)
    faint, usual = (
        find("mifgsm").run(model, images, labels, threat, draws=DRAWS) for model in (Faint(), plane)
    )
    falls = toys.read_by(plane, usual) != labels
    assert torch.equal(toys.read_by(plane, faint) != labels, falls)


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"step_size": 0.0}, {"decay": -0.5}, {"decay": math.inf}, {"decay": math.nan}],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="mifgsm needs steps >= 1, step_size > 0"):
        find("mifgsm", **options).run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)
