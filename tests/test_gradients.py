import math
import warnings

import pytest
import torch
import torch.nn.functional as F
import toys
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unfooled.errors import InvalidInput, InvalidModel
from unfooled.gradients import (
    evened,
    forward,
    frozen,
    gradient,
    jacobian,
    part_size,
    predict,
    quickened,
)
from unfooled.losses import cross_entropy, margin
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels


def test_the_gradient_of_a_plane_is_its_weight(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    _, _, by_pixel = gradient(plane, images, labels, None, margin)
    sign = 1 - 2 * labels[:, None].float()
    torch.testing.assert_close(by_pixel.flatten(1), sign * plane.weight.detach())


def test_an_images_gradient_does_not_depend_on_its_batch(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    _, _, together = gradient(net, images, labels, None, cross_entropy)
    for place in range(3):
        one = slice(place, place + 1)
        _, _, alone = gradient(net, images[one], labels[one], None, cross_entropy)
        torch.testing.assert_close(together[one], alone)


def test_a_gradient_can_be_had_where_gradients_are_switched_off(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    with torch.no_grad():
        logits, losses, by_pixel = gradient(plane, images, labels, None, margin)
    assert by_pixel.abs().sum() > 0
    assert not any(tensor.requires_grad for tensor in (logits, losses, by_pixel))


def test_the_jacobian_holds_the_gradient_of_each_logit(net: nn.Module, images: Images) -> None:
    net.eval()
    logits, by_pixel = jacobian(net, images)
    torch.testing.assert_close(logits, net(images).detach())
    for one in range(3):
        labels = torch.full((24,), one)

        def chosen(logits, labels, targets):
            return logits.gather(1, labels[:, None])[:, 0]

        _, _, alone = gradient(net, images, labels, None, chosen)
        torch.testing.assert_close(by_pixel[:, one], alone)
    with torch.no_grad():
        torch.testing.assert_close(jacobian(net, images)[1], by_pixel)


def test_a_gradient_is_evened_for_each_image_by_itself() -> None:
    by_pixel = (
        toys.pictures(4, low=-1, high=1) * torch.tensor([1e-20, 1, 1e3, 0])[:, None, None, None]
    )
    even = evened(by_pixel)
    assert even.abs().mean((1, 2, 3)).sub(torch.tensor([1.0, 1, 1, 0])).abs().max() < 1e-5
    assert torch.equal(even.sign(), by_pixel.sign())
    torch.testing.assert_close(evened(by_pixel[1:2]), even[1:2])


def test_a_part_is_smaller_the_larger_the_largest_layer() -> None:
    class Widens(nn.Module):
        def __init__(self, times: int) -> None:
            super().__init__()
            self.times = times

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1).repeat(1, self.times)[:, :2]

    images = toys.pictures(3)
    sizes = [part_size(Widens(times), images) for times in (1, 100, 10_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 1000  # the most
    assert sizes[2] == 32  # the least
    assert 32 < sizes[1] < 1000


def test_frozen_leaves_the_model_as_it_was(net: nn.Module) -> None:
    dropout = net[3]
    net.train()
    dropout.eval()
    net[1].bias.requires_grad_(False)
    with frozen(net):
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
    with pytest.raises(ZeroDivisionError), frozen(net):
        raise ZeroDivisionError
    assert net.training
    assert net[1].training
    assert not dropout.training
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True]


def test_predict_reads_in_eval_mode_and_in_any_batches(net: nn.Module, images: Images) -> None:
    net.train()
    torch.testing.assert_close(predict(net, images), predict(net, images, batch=5))
    assert net.training


class Answers(nn.Module):
    """Answers with whatever a function of the images gives."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> object:
        return self.function(images.flatten(1)[:, :3])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: (x, x), "returned a tuple"),
        (lambda x: x.tolist(), "returned a list"),
        (lambda x: x[:, 0], r"the shape \[24\] for 24 images"),
        (lambda x: x[:, :1], r"the shape \[24, 1\]"),
        (lambda x: x[:5], r"the shape \[5, 3\]"),
        (lambda x: x[..., None], r"the shape \[24, 3, 1\]"),
    ],
)
def test_an_output_that_is_not_logits_is_refused(images: Images, function, said: str) -> None:
    with pytest.raises(InvalidModel, match=said):
        forward(Answers(function), images)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x * math.nan, id="NaN"),
        # Its value is finite, but not its gradient: the root of 0 is infinitely steep.
        pytest.param(lambda x: (x - x).sqrt() + x, id="infinitely steep"),
    ],
)
def test_a_gradient_that_is_not_finite_is_refused(images: Images, function) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    with pytest.raises(InvalidModel, match="NaN or infinite for 24 of 24"):
        gradient(Answers(function), images, labels, None, cross_entropy)


def test_a_model_that_ignores_the_pixels_gives_no_gradient(images: Images) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    with pytest.raises(InvalidModel, match="does not depend on the pixels"):
        gradient(Answers(torch.zeros_like), images, labels, None, cross_entropy)
    with pytest.raises(InvalidModel, match="does not depend on the pixels"):
        gradient(Answers(lambda x: x.detach()), images, labels, None, cross_entropy)


def test_no_images_cannot_be_read(net: nn.Module) -> None:
    with pytest.raises(InvalidInput, match="no images"):
        predict(net, toys.pictures(0))


class Free(nn.Module):
    """A network whose `forward` does whatever a function does with its convolution's output."""

    def __init__(self, change, channels: int = 1) -> None:
        super().__init__()
        self.change = change
        self.conv = nn.Conv2d(channels, 4, 3)
        self.end = nn.Linear(64, 3)
        self.noisy = nn.Parameter(torch.zeros(4, channels, 3, 3), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.change(self, images).flatten(1))


def writes_through_a_view(net: Free, images: Tensor) -> Tensor:
    features = net.conv(images)
    rows = features.view(len(features), -1)
    rows.sub_(rows.mean(1, keepdim=True)).neg_()
    return features


def names_its_input(net: Free, images: Tensor) -> Tensor:
    return F.relu(F.conv2d(input=images, weight=net.conv.weight))


def follows_a_gradient(net: Free, images: Tensor) -> Tensor:
    with torch.enable_grad():
        given = images if images.requires_grad else images.clone().requires_grad_()
        energy = net.conv(given).relu().square().sum()
        (slope,) = torch.autograd.grad(energy, given, create_graph=True)
    return net.conv(images - 0.3 * slope).relu()


def is_computed_twice(net: Free, images: Tensor) -> Tensor:
    return checkpoint(lambda given: net.conv(given).relu().tanh(), images, use_reentrant=False)


def is_viewed_as_another(net: Free, images: Tensor) -> Tensor:
    features = net.conv(images).relu()
    return features.view_as(torch.empty(len(features), 64))


def is_viewed_by_name(net: Free, images: Tensor) -> Tensor:
    return net.conv(images).relu().view(size=(len(images), -1))


def writes_into_its_input(net: Free, images: Tensor) -> Tensor:
    return net.conv(images.mul_(0.5)).relu()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "change",
    [
        *(writes_through_a_view, names_its_input, follows_a_gradient, is_computed_twice),
        *(is_viewed_as_another, is_viewed_by_name, writes_into_its_input),
    ],
)
def test_whatever_a_network_does_its_quickest_way_is_torchs(change, channels: int) -> None:
    with Draws(0).torch_state():
        model = Free(change, channels)
    images = Draws(0).uniform(torch.empty(7, channels, 6, 6))
    before, labels = images.clone(), torch.arange(7) % 3
    with frozen(model):
        quick = quickened(model, images)
        found = gradient(quick, images, labels, None, cross_entropy)
        with torch.no_grad():
            torch.testing.assert_close(quick(images), found[0])
        leaf = images.clone().requires_grad_()
        logits = model(leaf.clone())
        (expected,) = torch.autograd.grad(cross_entropy(logits, labels, None).sum(), leaf)
    assert torch.equal(images, before)
    torch.testing.assert_close(found[0], logits.detach())
    torch.testing.assert_close(found[2], expected)


def test_a_scripted_network_is_read_in_torchs_way() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.end = nn.Conv2d(3, 4, 3), nn.Linear(64, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.end(torch.relu(self.conv(images)).view(images.size(0), -1))

    images, labels = torch.rand(3, 3, 6, 6), torch.zeros(3, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is old
        scripted = torch.jit.script(Views())
    for model in (scripted, nn.Sequential(nn.Conv2d(3, 3, 1), scripted)):
        with frozen(model):
            one = gradient(quickened(model, images), images, labels, None, cross_entropy)
            two = gradient(model, images, labels, None, cross_entropy)
        torch.testing.assert_close(one[2], two[2])


def test_weights_that_are_drawn_anew_are_not_kept() -> None:
    def draws(net: Free, images: Tensor) -> Tensor:
        net.noisy.copy_(torch.randn_like(net.noisy))
        return F.conv2d(images, net.noisy)

    model, images = Free(draws), torch.rand(3, 1, 6, 6)
    with frozen(model), torch.no_grad():
        quick = quickened(model, images)
        assert not torch.equal(quick(images), quick(images))


def test_a_convolution_that_onednn_reads_wrongly_is_left_alone() -> None:
    with Draws(0).torch_state():
        model = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, stride=(1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(208, 10))
        )
    images = Draws(0).uniform(torch.empty(64, 1, 28, 5))
    with frozen(model), torch.no_grad():
        torch.testing.assert_close(quickened(model, images)(images), model(images))


def test_a_network_that_cannot_read_one_image_alone_is_read() -> None:
    class Squeezes(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.squeeze()

    model = nn.Sequential(nn.Conv2d(1, 3, 6), Squeezes())
    images = torch.rand(65, 1, 6, 6)
    assert predict(model, images).shape == (65, 3)
    with frozen(model):
        assert part_size(model, images) == 1000
        assert quickened(model, images)(images).shape == (65, 3)


def test_a_network_made_without_gradients_is_put_back() -> None:
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    with frozen(model):
        assert not model.training
    assert model.training


def test_where_there_can_be_no_gradient_it_is_said(net: nn.Module, images: Images) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    with torch.inference_mode(), pytest.raises(InvalidModel, match="inference_mode"):
        gradient(net, images, labels, None, cross_entropy)


def test_the_gradient_of_a_gradient_is_refused() -> None:
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
    with frozen(model):
        leaf = images.requires_grad_()
        logits = quickened(model, images)(leaf)
        with pytest.raises(InvalidModel, match="differentiable once"):
            torch.autograd.grad(logits.square().sum(), leaf, create_graph=True)
