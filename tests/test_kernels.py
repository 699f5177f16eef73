import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unfooled import gradients, kernels
from unfooled.kernels import Quick, channels_last, forget, product
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws


def gradients_of(model: nn.Module, images: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Output and input gradient, as torch takes them and in the quick way."""
    found = []
    for quick in (False, True):
        leaf = (channels_last(images) if quick else images.clone()).requires_grad_()
        if quick:
            with Quick():
                output = model(leaf)
        else:
            output = model(leaf)
        (by_pixel,) = torch.autograd.grad((output * direction).sum(), leaf)
        found.append((output.detach(), by_pixel))
    torch.testing.assert_close(found[1][0], found[0][0])
    return found[0][1], found[1][1]


def frozen(model: nn.Module) -> nn.Module:
    return model.double().requires_grad_(False).eval()


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8])
@pytest.mark.parametrize(
    ("side", "stride", "padding"),
    [
        (1, 1, 0),
        (3, 1, 1),
        (5, 1, 0),
        (4, 2, 1),
        (3, 2, 1),
        (2, 2, 0),
        (3, 3, 0),
        (5, 3, 2),
        (2, 3, 0),
        (1, 1, 2),
        (2, 1, 3),
        (3, 2, 5),
    ],
)
@pytest.mark.parametrize("size", [(9, 9), (8, 11)])
def test_a_convolutions_gradient_is_torchs(
    channels: int, side: int, stride: int, padding: int, size: tuple[int, int]
) -> None:
    draws = Draws(0, "kernels")
    images = draws.normal(torch.empty(3, channels, *size)).double()
    with draws.torch_state():
        layer = frozen(nn.Conv2d(channels, 6, side, stride=stride, padding=padding))
    direction = draws.step("direction").normal(layer(images)).double()
    usual, quick = gradients_of(layer, images, direction)
    torch.testing.assert_close(quick, usual)


class Everything(nn.Module):
    """What people put into networks, functions, methods and layouts included."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 8, 3, padding="same")
        self.apart = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.far = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.uneven = nn.Conv2d(8, 8, (3, 1), stride=(1, 2))
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.first(images)))
        features = features + torch.relu(self.apart(self.wide(features)))
        features = F.max_pool2d(self.relu(self.uneven(self.far(features))).relu(), 2)
        pooled = F.adaptive_avg_pool2d(features, 1)
        return self.last(pooled.view(-1, 8)) + features.view(len(images), -1)[:, :3]


def test_whatever_it_does_not_cover_goes_its_usual_way() -> None:
    draws = Draws(0, "kernels")
    images = draws.uniform(torch.empty(4, 1, 16, 16)).double()
    with draws.torch_state():
        model = frozen(Everything())
    usual, quick = gradients_of(model, images, draws.normal(torch.empty(4, 3)).double())
    torch.testing.assert_close(quick, usual)


def test_weights_that_learn_still_get_their_gradients() -> None:
    layer = nn.Conv2d(1, 2, 3)
    with Quick():
        layer(torch.rand(1, 1, 5, 5)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.bias is not None
    assert layer.bias.grad is not None


def test_where_a_relu_is_zero_its_gradient_is_zero() -> None:
    leaf = torch.tensor([[-1.0, 0.0, 2.0]], requires_grad=True)
    with Quick():
        output = F.relu(leaf)
    (found,) = torch.autograd.grad(output.sum(), leaf)
    assert found.tolist() == [[0.0, 0.0, 1.0]]


def test_a_view_as_another_dtype_stays_a_view() -> None:
    with Quick():
        assert torch.ones(2, dtype=torch.float32).view(torch.int32).dtype == torch.int32


def test_the_layout_is_channels_last_also_for_one_channel() -> None:
    images = torch.rand(2, 1, 3, 4)
    laid = channels_last(images)
    assert torch.equal(laid, images)
    assert laid.stride() == (12, 1, 4, 1)


class Whole(nn.Sequential):
    """Layers that are not taken one by one."""


def test_a_linear_layers_gradient_is_torchs() -> None:
    draws = Draws(0, "kernels")
    images = draws.uniform(torch.empty(5, 3, 4, 4))
    with draws.torch_state():
        model = Whole(nn.Flatten(), nn.Linear(48, 7), nn.Tanh(), nn.Linear(7, 3, bias=False))
    for kind in (torch.float32, torch.float64):
        model.to(kind).requires_grad_(False)
        forget()
        usual, quick = gradients_of(model, images.to(kind), torch.ones(5, 3, dtype=kind))
        torch.testing.assert_close(quick, usual)
        with Quick():
            assert "_Linear" in str(model(images.to(kind).requires_grad_()).grad_fn)


@pytest.mark.parametrize("bias", [True, False])
def test_a_large_product_is_torchs_too(monkeypatch: pytest.MonkeyPatch, bias: bool) -> None:
    monkeypatch.setattr(kernels, "_MUCH", 0)
    draws = Draws(0, "kernels")
    given, weight = (draws.normal(torch.empty(n, 1, 1, 6))[:, 0, 0] for n in (5, 4))
    own = torch.arange(4.0) if bias else None
    torch.testing.assert_close(product(given, weight, own), F.linear(given, weight, own))
    turned = given.t().contiguous().t()
    torch.testing.assert_close(product(turned, weight, own), F.linear(given, weight, own))
    with draws.torch_state():
        layer = nn.Conv2d(1, 6, 4, stride=2, padding=1).requires_grad_(False)
    images = draws.uniform(torch.empty(3, 1, 9, 8))
    usual, quick = gradients_of(layer, images, torch.ones(3, 6, 4, 4))
    torch.testing.assert_close(quick, usual)


@pytest.mark.parametrize("first", [nn.Conv2d(6, 4, 3, stride=2), nn.Conv2d(6, 4, 3)])
def test_a_step_of_a_fused_optimiser_is_noticed(first: nn.Conv2d) -> None:
    model = Whole(first, nn.Flatten(), nn.LazyLinear(3))
    images = torch.rand(2, 6, 8, 8)
    model(images)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    labels = torch.tensor([0, 1])
    for kind in (torch.float32, torch.float32, torch.float32, torch.float64):
        model.to(kind)
        given = images.to(kind)
        with gradients.frozen(model):
            quick = gradients.quickened(model, given)
            for one, two in zip(
                gradients.gradient(quick, given, labels, None, cross_entropy),
                gradients.gradient(model, given, labels, None, cross_entropy),
                strict=True,
            ):
                torch.testing.assert_close(one, two)
        if kind == torch.float32:
            model(given).square().sum().backward()
            optimiser.step()


def test_autocast_goes_its_usual_way() -> None:
    layer = nn.Conv2d(5, 4, 3).requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16), Quick():
        assert layer(torch.rand(1, 5, 6, 6)).dtype == torch.bfloat16
