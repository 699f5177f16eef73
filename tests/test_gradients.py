import math

import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled.errors import InvalidInput, InvalidModel
from unfooled.gradients import evened, forward, frozen, gradient, jacobian, part_size, predict
from unfooled.losses import cross_entropy, margin
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
