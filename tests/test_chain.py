import pytest
import torch
from torch import Tensor, nn

from unfooled import gradients
from unfooled.chain import Chain, chain
from unfooled.errors import InvalidModel
from unfooled.gradients import frozen, gradient, jacobian, quickened
from unfooled.layers import Standardise
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws

CHANCE = Draws(0, "chain")


def followed(model: nn.Module, size: tuple[int, ...] = (5, 2, 12, 12)) -> Chain:
    """A model as a chain, in float64, whose logits and gradient are torch's."""
    with CHANCE.torch_state():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.reset_parameters()
    model.double().eval().requires_grad_(False)
    images = CHANCE.uniform(torch.empty(size)).double()
    found = chain(model, images)
    assert found is not None
    leaf = images.clone().requires_grad_()
    usual = model(leaf)
    direction = CHANCE.normal(usual.detach().float()).double()
    expected = torch.autograd.grad((usual * direction).sum(), leaf)[0]
    quick = found(leaf)
    torch.testing.assert_close(quick, usual)
    with torch.no_grad():
        torch.testing.assert_close(found(images), usual.detach())
    by_pixel = torch.autograd.grad((quick * direction).sum(), leaf)[0]
    torch.testing.assert_close(by_pixel, expected)
    return found


def normalised() -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(4)
    with torch.no_grad():
        for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            assert tensor is not None
            tensor.copy_(CHANCE.uniform(tensor.view(1, 4, 1, 1)).flatten() + 0.1)
    return layer


class Own(nn.Module):
    """A layer that nobody knows."""

    def forward(self, images: Tensor) -> Tensor:
        return images.sin()


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([nn.Flatten(), nn.Linear(288, 3)], id="linear"),
        pytest.param([Standardise(), nn.Flatten(), nn.Linear(288, 3)], id="standardised"),
        pytest.param(
            [nn.Flatten(), nn.ReLU(), nn.Linear(288, 3, bias=False), nn.ReLU()], id="bent"
        ),
        pytest.param(
            [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(576, 3)], id="conv"
        ),
        pytest.param(
            [nn.Conv2d(2, 4, 4, stride=2, padding=1, bias=False), nn.Flatten(), nn.Linear(144, 3)],
            id="strided",
        ),
        pytest.param(
            [
                *(nn.Conv2d(2, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3, stride=2)),
                *(nn.Dropout2d(), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5), nn.Dropout()),
                *(nn.ReLU(), nn.Identity(), nn.Linear(5, 3)),
            ],
            id="deep",
        ),
        pytest.param(
            [nn.Conv2d(2, 4, 2), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3)],
            id="pooled, with a pixel left over",
        ),
        pytest.param(
            [nn.Conv2d(2, 4, 3), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(36, 3)], id="pooled by 3"
        ),
        pytest.param(
            [nn.Conv2d(2, 4, 3), normalised(), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)],
            id="normalised",
        ),
        pytest.param(
            [
                nn.Sequential(nn.Conv2d(2, 4, 3), nn.Sequential(nn.ReLU())),
                nn.Sequential(nn.Flatten(1, -1), nn.Linear(400, 3)),
            ],
            id="nested",
        ),
    ],
)
def test_a_chain_is_the_network(layers: list[nn.Module]) -> None:
    found = followed(nn.Sequential(*layers))
    assert "_Foreign" not in repr(found)


@pytest.mark.parametrize(
    "layer",
    [
        Own(),
        nn.Tanh(),
        nn.AvgPool2d(3, stride=1, padding=1),
        nn.MaxPool2d(3, stride=1, padding=1),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, (3, 1), padding=(1, 0)),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ],
)
def test_a_layer_that_is_not_known_goes_torchs_way(layer: nn.Module) -> None:
    conv, end = nn.Conv2d(2, 4, 3, padding=1), nn.Sequential(nn.Flatten(), nn.Linear(576, 3))
    assert "_Foreign" in repr(followed(nn.Sequential(conv, nn.ReLU(), layer, nn.ReLU(), end)))


def test_hooks_are_called() -> None:
    seen: list[int] = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    model[3].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    images = torch.rand(6, 2, 2, 2)
    found = chain(model.requires_grad_(False), images)
    assert found is not None
    seen.clear()
    found(images)
    found(images.requires_grad_())
    assert seen == [6, 6]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(Own(), id="its own forward"),
        pytest.param(nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten()), id="flat in torch's order"),
        pytest.param(nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(8, 3)), id="flat, not known"),
        pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(8, 3).double()), id="mixed kinds"),
    ],
)
def test_what_is_no_chain_is_none(model: nn.Module) -> None:
    assert chain(model.requires_grad_(False), torch.rand(2, 2, 2, 2)) is None


def test_a_watched_sequence_is_none() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    model.register_forward_hook(lambda *_: None)
    assert chain(model, torch.rand(2, 2, 2, 2)) is None


def test_the_images_are_left_as_they_were() -> None:
    images = torch.rand(3, 1, 4, 4)
    before = images.clone()
    model = nn.Sequential(nn.ReLU(), Standardise(), nn.Flatten(), nn.Linear(16, 3))
    labels = torch.zeros(3, dtype=torch.int64)
    with frozen(model):
        gradient(quickened(model, images), images, labels, None, cross_entropy)
    assert torch.equal(images, before)


def test_a_layer_without_a_gradient_is_told_of() -> None:
    class Detached(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.detach()

    images, labels = torch.rand(3, 1, 4, 4), torch.zeros(3, dtype=torch.int64)
    model = nn.Sequential(Detached(), nn.Flatten(), nn.Linear(16, 3))
    with frozen(model), pytest.raises(InvalidModel, match="does not depend on the pixels"):
        gradient(quickened(model, images), images, labels, None, cross_entropy)


def test_the_jacobian_goes_back_several_times() -> None:
    images = torch.rand(3, 1, 6, 6)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    )
    with frozen(model):
        for usual, quick in zip(
            jacobian(model, images), jacobian(quickened(model, images), images), strict=True
        ):
            torch.testing.assert_close(quick, usual)


def test_weights_may_change_between_two_freezes() -> None:
    images = torch.rand(3, 1, 4, 4)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    for factor in (1.0, 2.0):
        with torch.no_grad():
            model[0].weight.mul_(factor)
        with frozen(model), torch.no_grad():
            torch.testing.assert_close(gradients.quickened(model, images)(images), model(images))
