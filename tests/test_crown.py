import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled import crown, interval
from unfooled.errors import InvalidModel
from unfooled.gradients import frozen
from unfooled.layers import Standardise
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat


def deep() -> nn.Module:
    """Every layer that there are linear bounds for but those of `pooled`, in double precision."""
    with Draws(0, "deep").torch_state():
        return nn.Sequential(
            Standardise(),
            nn.Conv2d(1, 4, 3, padding=2, dilation=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), nn.LeakyReLU()),
            nn.Identity(),
            nn.AvgPool2d(2, padding=1),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(24, 9),
            nn.Tanh(),
            nn.Linear(9, 8),
            nn.Sigmoid(),
            nn.Linear(8, 7),
            nn.Softplus(),
            nn.Linear(7, 3),
        )


def pooled() -> nn.Module:
    """Max-pools side by side, over each other, and padded."""
    with Draws(0, "pooled").torch_state():
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding="same"),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 4, 2),
            nn.MaxPool2d(2, stride=1),
            nn.Flatten(),
            nn.Linear(16, 3),
        )


def odd() -> nn.Module:
    """Slopes of any size below 0, a padded max-pool that rounds up, and a channel of its own."""
    with Draws(0, "odd").torch_state():
        return nn.Sequential(
            Standardise((0.1,), (0.3,)),
            nn.Conv2d(1, 3, 3),
            nn.LeakyReLU(1.5),
            nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
            nn.Conv2d(3, 3, 2),
            nn.LeakyReLU(-0.3),
            nn.MaxPool2d((2, 1), ceil_mode=True),
            nn.Flatten(),
            nn.Linear(18, 3),
        )


def margins(net: nn.Module, images: Images, labels: Labels) -> Tensor:
    with torch.no_grad():
        logits = net(images)
    return logits - logits.gather(1, labels[:, None])


def climbed(
    net: nn.Module, images: Images, labels: Labels, threat: Threat, wrong: int, steps: int = 10
) -> Images:
    """Images inside the threat where a wrong class comes near."""
    moved = images
    for step in range(steps):
        leaf = moved.clone().requires_grad_()
        logits = net(leaf)
        rise = (logits[:, wrong] - logits.gather(1, labels[:, None])[:, 0]).sum()
        (gradient,) = torch.autograd.grad(rise, leaf)
        size = threat.eps / (1 + step)
        moved = threat.project(images, moved + size * threat.steepest(gradient))
    return moved


@pytest.mark.parametrize("make", [deep, pooled, odd, toys.rectified])
@pytest.mark.parametrize(
    ("norm", "eps"), [("Linf", 0.0), ("Linf", 0.02), ("Linf", 0.3), ("L2", 0.2), ("L2", 2.0)]
)
def test_no_image_inside_the_threat_lies_above_the_bounds(make, norm: str, eps: float) -> None:
    net = make().double().eval()
    images, threat = toys.pictures(2, purpose="c").round(decimals=1).double(), Threat(norm, eps)
    labels = toys.read_by(net, images)
    with frozen(net):
        worst = crown.margins(net, images, labels, threat) + 1e-9
        assert worst.gather(1, labels[:, None]).abs().max() < 1e-8
        many = images.repeat(5000, 1, 1, 1)
        for moved in (threat.random_start(many, Draws(0)), threat.random_edge(many, Draws(1))):
            found = margins(net, moved, labels.repeat(5000)).view(5000, 2, -1).amax(0)
            assert (found <= worst).all()
        for wrong in range(3):
            moved = climbed(net, images, labels, threat, wrong)
            assert (margins(net, moved, labels) <= worst).all()
        if norm == "Linf":
            loose = interval.margins(net, images, labels, threat)
            assert (worst <= loose + 1e-8).all()
            assert eps == 0 or (worst < loose - 1e-3).any()


def test_of_two_pixels_it_is_what_paper_says() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        net[1].bias.copy_(torch.tensor([-0.9, 0.0]))
        net[3].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
        net[3].bias.zero_()
    # x, y within 0.1 of 0.5: x + y - 0.9 lies in [-0.1, 0.3], below 3/4 (it + 0.1) when bent, and
    # x - y in [-0.2, 0.2], below 1/2 (it + 0.2). Their sum is 1.25 x + 0.25 y - 0.5: at most 0.4.
    image = torch.tensor([[[[0.5, 0.5]]]], dtype=torch.float64)
    found = crown.margins(net, image, torch.tensor([0]), Threat("Linf", 0.1))
    assert found.tolist()[0] == pytest.approx([0, 0.4])
    # In L2 those lie in [0.1 -+ 0.1 sqrt 2] and [-+ 0.1 sqrt 2].
    root = 0.1 * 2**0.5
    slope = (0.1 + root) / (2 * root)
    expected = (
        slope * (0.1 - (0.1 - root))
        + 0.5 * root
        + 0.1 * ((slope + 0.5) ** 2 + (slope - 0.5) ** 2) ** 0.5
    )
    found = crown.margins(net, image, torch.tensor([0]), Threat("L2", 0.1))
    assert float(found[0, 1]) == pytest.approx(expected)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_of_a_linear_model_they_are_the_dual_norm(norm: str) -> None:
    with Draws(0, "linear").torch_state():
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    images, labels = toys.pictures(3, low=0.3, high=0.7).double(), torch.tensor([0, 1, 2])
    weight = net[1].weight.detach()
    size = (weight - weight[labels, None]).norm(p={"Linf": 1, "L2": 2}[norm], dim=2)
    expected = margins(net, images, labels) + 0.1 * size
    torch.testing.assert_close(crown.margins(net, images, labels, Threat(norm, 0.1)), expected)


def test_a_ball_that_is_cut_off_by_black_and_white_is_met_as_such() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    image = torch.tensor([[[[0.0, 1.0]]]], dtype=torch.float64)  # the second cannot grow
    found = crown.margins(net, image, torch.tensor([0]), Threat("L2", 0.5))
    assert float(found[0, 1]) == pytest.approx(4 + 3 * 0.5)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.Softplus(threshold=1), "at least 20, above which it is a line; it is 1"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "zero padding"),
    ],
)
def test_a_layer_without_bounds_is_an_error(layer: nn.Module, said: str) -> None:
    net = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(3))
    net(toys.pictures(1))
    with frozen(net), pytest.raises(InvalidModel, match=said):
        crown.margins(net, toys.pictures(1), torch.tensor([0]), Threat("Linf", 0.1))
