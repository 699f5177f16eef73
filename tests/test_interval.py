import itertools

import pytest
import torch
import toys
from torch import nn

from unfooled import interval
from unfooled.errors import InvalidModel, InvalidThreat
from unfooled.layers import Standardise
from unfooled.randomness import Draws
from unfooled.threat import Threat


def deep() -> nn.Module:
    """One of each layer that there are bounds for."""
    with Draws(0, "deep").torch_state():
        return nn.Sequential(
            Standardise(),
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.LeakyReLU()),
            nn.AvgPool2d(2),
            nn.Dropout(0.5),
            nn.Identity(),
            nn.Flatten(),
            nn.Linear(6, 5),
            nn.Tanh(),
            nn.Linear(5, 3),
        ).eval()


@pytest.mark.parametrize(
    "net", [deep(), toys.net().eval(), toys.pyramid(channels=1, size=8, classes=3).eval()]
)
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.1, 0.5])
def test_no_image_inside_the_threat_lies_above_the_bounds(net: nn.Module, eps: float) -> None:
    images = toys.pictures(6)
    labels = toys.read_by(net, images)
    threat = Threat("Linf", eps)
    with torch.no_grad():
        worst = interval.margins(net, images, labels, threat)
        assert worst.gather(1, labels[:, None]).abs().max() < 1e-5
        for seed in range(200):
            near = threat.random_start(images, Draws(seed))
            corner = threat.project(images, images + eps * Draws(seed, "c").signs(images))
            for moved in (near, corner):
                logits = net(moved)
                assert (logits - logits.gather(1, labels[:, None]) <= worst + 1e-4).all()


def test_of_a_linear_model_they_are_exact() -> None:
    with Draws(0, "linear").torch_state():
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    images, eps = toys.pictures(5, low=0.3, high=0.7), 0.1
    labels = torch.tensor([0, 1, 2, 0, 1])
    weight, logits = net[1].weight.detach(), net(images).detach()
    apart = weight - weight[labels, None]
    expected = logits - logits.gather(1, labels[:, None]) + eps * apart.abs().sum(2)
    found = interval.margins(net, images, labels, Threat("Linf", eps)).detach()
    torch.testing.assert_close(found, expected)


def test_of_two_pixels_they_hold_at_every_corner_and_touch_the_worst() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 1.0]]))
        net[1].bias.zero_()
        net[3].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        net[3].bias.zero_()
    image = torch.tensor([[[[0.5, 0.1]]]])
    # logit 0 is relu(x - 2 y): between 0.1 and 0.5 at eps 0.1, so that 1 less 0 is at most -0.1.
    found = interval.margins(net, image, torch.tensor([0]), Threat("Linf", 0.1)).detach()
    corners = itertools.product((0.4, 0.6), (0.0, 0.2))
    worst = max(0 - max(x - 2 * y, 0) for x, y in corners)
    assert float(found[0, 1]) == pytest.approx(worst, abs=1e-6)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([nn.Flatten(), nn.GELU(), nn.Linear(64, 3)], "no bounds for a layer GELU; there are for"),
        ([nn.Flatten(), nn.Linear(64, 3), nn.ReLU()], "ends in a linear layer; it ends in ReLU"),
        (
            [
                nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
                nn.Flatten(),
                nn.Linear(64, 3),
            ],
            "zero padding; a layer pads by 'circular'",
        ),
        ([nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3)], "eval mode"),
    ],
)
def test_a_layer_without_bounds_is_an_error_that_names_it(
    layers: list[nn.Module], said: str
) -> None:
    with pytest.raises(InvalidModel, match=said):
        interval.margins(
            nn.Sequential(*layers).train(),
            toys.pictures(2),
            torch.tensor([0, 1]),
            Threat("Linf", 0.1),
        )


def test_another_norm_is_an_error() -> None:
    with pytest.raises(InvalidThreat, match="Linf; L2 came"):
        interval.margins(toys.net(), toys.pictures(1), torch.tensor([0]), Threat("L2", 0.1))
