from collections.abc import Callable

import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled import attack, bounds, crown, interval, model
from unfooled.errors import InvalidModel
from unfooled.gradients import frozen
from unfooled.layers import Standardise
from unfooled.randomness import Draws
from unfooled.threat import Threat
from unfooled.traced import Beside, Within, steps


class Block(nn.Module):
    """A residual block as torchvision writes it."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, wider, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wider)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wider)
        self.downsample = nn.Conv2d(channels, wider, 1, stride) if channels != wider else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Residual(nn.Module):
    """Two such blocks between other layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.blocks = nn.Sequential(Block(3, 3, 1), Block(3, 4, 2))
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem(x)))
        x = self.mean(self.blocks(x))
        return self.head(torch.flatten(x, 1))


class Before(nn.Module):
    """What goes on is bent, and what is added was not: as a block with the ReLU in front."""

    def __init__(self) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.first, self.second = nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 1, 1)
        self.act, self.head = nn.LeakyReLU(0.1), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.standardise(x))
        x = x + self.second(self.act(x))
        return self.head(self.act(x).flatten(1))


def built(make: Callable[[], nn.Module]) -> nn.Module:
    with Draws(0, "residual").torch_state():
        net = make()
        net(torch.rand(50, 1, 8, 8))
    return net.eval()


@pytest.mark.parametrize("make", [Residual, Before])
def test_the_layers_in_a_line_do_what_the_network_does(make: Callable[[], nn.Module]) -> None:
    net, images = built(make), toys.pictures(5)
    line = steps(net, images)
    assert any(isinstance(one, Beside) for one in line)
    assert any(isinstance(one, Within) for one in line)
    torch.testing.assert_close(nn.Sequential(*line)(images.clone()), net(images))


@pytest.mark.parametrize("make", [Residual, Before])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.0), ("Linf", 0.02), ("L2", 0.1)])
def test_no_image_inside_the_threat_lies_above_the_bounds(
    make: Callable[[], nn.Module], norm: str, eps: float
) -> None:
    net, images, threat = built(make).double(), toys.pictures(3).double(), Threat(norm, eps)
    labels = toys.read_by(net, images)
    with frozen(net), torch.no_grad():
        worst = crown.margins(net, images, labels, threat) + 1e-8
        if norm == "Linf":
            assert (worst <= interval.margins(net, images, labels, threat) + 2e-8).all()
        many = images.repeat(2000, 1, 1, 1)
        for draw in (threat.random_start, threat.random_edge):
            logits = net(draw(many, Draws(0)))
            apart = logits - logits.gather(1, labels.repeat(2000)[:, None])
            assert (apart.view(2000, 3, -1).amax(0) <= worst).all()
        if eps == 0:
            logits = net(images)
            torch.testing.assert_close(
                worst, logits - logits.gather(1, labels[:, None]), atol=1e-6, rtol=0
            )


@pytest.mark.parametrize("make", [Residual, Before])
def test_what_stands_stands_against_ten_thousand_images_and_attacks(
    make: Callable[[], nn.Module],
) -> None:
    net, images, threat = built(make), toys.pictures(8), Threat("Linf", 0.02)
    labels = toys.read_by(net, images)
    found = bounds.examined(net, images, labels, threat, slopes=5, branches=100)
    assert found.stands.any()
    for seed in range(20):
        many = threat.random_edge(images.repeat(500, 1, 1, 1), Draws(seed))
        read = net(many).argmax(1).view(500, -1)
        assert (read == labels).all(0)[found.stands].all()
    attacked = attack.find("pgd", steps=40).run(net, images, labels, threat, draws=Draws(0))
    assert (toys.read_by(net, attacked) == labels)[found.stands].all()


class Overwriting(nn.Module):
    """What is added has been written into by then."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(64, 8), nn.ReLU(inplace=True)
        self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        return self.head(x + self.second(self.act(x)))


def test_a_branch_that_is_written_into_is_an_error() -> None:
    net, images = built(Overwriting), toys.pictures(2)
    with pytest.raises(InvalidModel, match="do not give what it gives"):
        bounds.examined(net, images, toys.read_by(net, images), Threat("Linf", 0.1))


def test_torchvisions_resnet_is_followed() -> None:
    net = model.build("resnet18", channels=1, size=8, classes=3, seed=0).eval()
    images = toys.pictures(2)
    line = steps(net, images)
    with torch.no_grad():
        torch.testing.assert_close(nn.Sequential(*line)(images.clone()), net(images))
        labels = toys.read_by(net, images)
        worst = interval.margins(net, images, labels, Threat("Linf", 1e-6))
    assert worst.isfinite().all()


class Odd(nn.Module):
    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.head, self.own = nn.Linear(64, 3), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self.head, x)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda head, x: head(torch.exp(x).flatten(1)), "no bounds for exp"),
        (lambda head, x: head((x * x).flatten(1)), "no bounds for mul"),
        (lambda head, x: head((x + 1).flatten(1)), "no bounds for add: it takes what is no image"),
        (lambda head, x: head(x.flatten(1)) if x.sum() > 0 else x, "cannot be followed"),
    ],
)
def test_what_cannot_be_followed_is_an_error_that_names_it(
    forward: Callable[[nn.Module, Tensor], Tensor], said: str
) -> None:
    images, labels = toys.pictures(1), torch.tensor([0])
    with pytest.raises(InvalidModel, match=said):
        bounds.examined(Odd(forward), images, labels, Threat("Linf", 0.1))
