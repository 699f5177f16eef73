import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_the_change_has_exactly_size_eps(
    plane: toys.Plane, images: Images, labels: Labels, norm: str
) -> None:
    threat = Threat(norm, 0.2)
    changed = find("noise").run(plane, images, labels, threat, draws=Draws(0))
    assert threat.distance(images, changed).sub(0.2).abs().max() < 1e-6


def test_for_linf_every_pixel_goes_up_or_down_by_eps(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    changed = find("noise").run(plane, images, labels, Threat("Linf", 0.2), draws=Draws(0))
    delta = changed - images
    torch.testing.assert_close(delta.abs(), torch.full_like(delta, 0.2))
    assert float((delta > 0).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_what_the_model_says_does_not_matter(images: Images, labels: Labels) -> None:
    class Silent(nn.Module):
        def forward(self, images: Images) -> Images:
            raise AssertionError("the noise asked the model")

    found = find("noise").function(Silent(), images, labels, Threat("Linf", 0.2), draws=Draws(0))
    assert found.shape == images.shape


def test_it_makes_no_pass(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    found = find("noise").sweep(net, images, labels, [Threat("Linf", 0.2)], draws=Draws(0))[0]
    assert found.passes.forward.tolist() == found.passes.backward.tolist() == [0] * 24
    # Fooled without having asked: after no pass, which is what it took.
    misread = toys.read_by(net, found.images) != labels
    assert torch.equal(found.passes.until, torch.where(misread, 0, -1))


def test_it_takes_no_part_of_the_targets(plane: toys.Plane, images: Images, labels: Labels) -> None:
    free, aimed = (
        find("noise").run(
            plane, images, labels, Threat("L2", 0.01), draws=Draws(0), targets=targets
        )
        for targets in (None, 1 - labels)
    )
    assert torch.equal(free, aimed)
