import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unfooled import gradients
from unfooled.kernels import Quick, channels_last, forget
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


def test_a_step_of_a_fused_optimiser_is_noticed() -> None:
    model = Whole(nn.Conv2d(6, 4, 3, stride=2), nn.Flatten(), nn.Linear(36, 3))
    images = torch.rand(2, 6, 8, 8)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        with gradients.frozen(model), torch.no_grad():
            torch.testing.assert_close(gradients.quickened(model, images)(images), model(images))
        model(images).square().sum().backward()
        optimiser.step()
    model.double()
    with gradients.frozen(model), torch.no_grad():
        torch.testing.assert_close(
            gradients.quickened(model, images)(images.double()), model(images.double())
        )


def test_autocast_goes_its_usual_way() -> None:
    layer = nn.Conv2d(5, 4, 3).requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16), Quick():
        assert layer(torch.rand(1, 5, 6, 6)).dtype == torch.bfloat16
