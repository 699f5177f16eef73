"""Every member of `models/` meets these tests by itself."""

import pytest
import torch
from torch import nn

from unfooled import catalog, model
from unfooled.gradients import gradient
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images

SHAPES = [(1, 28, 10), (3, 32, 7)]


def pictures(n: int, channels: int = 1, size: int = 28) -> Images:
    return Draws(0, "pictures").uniform(torch.empty(n, channels, size, size))


@pytest.fixture(params=catalog.names("models"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(name: str) -> nn.Module:
    return model.build(name, channels=1, size=28, classes=10, seed=0).eval()


@pytest.mark.parametrize(("channels", "size", "classes"), SHAPES)
def test_logits_come_back_for_any_shape(name: str, channels: int, size: int, classes: int) -> None:
    network = model.build(name, channels=channels, size=size, classes=classes, seed=0)
    logits = network(pictures(4, channels, size))
    assert logits.shape == (4, classes)
    assert logits.dtype == torch.float32
    assert bool(logits.isfinite().all())


def test_what_comes_back_are_logits_and_no_probabilities(network: nn.Module) -> None:
    logits = network(pictures(20))
    assert not torch.allclose(logits.exp().sum(1), torch.ones(20))
    assert not torch.allclose(logits.sum(1), torch.ones(20))


def test_equal_seeds_give_equal_weights_and_leave_chance_alone(name: str) -> None:
    before = torch.get_rng_state()
    shape = {"channels": 1, "size": 28, "classes": 10}
    one, same, other = (model.build(name, **shape, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(one.parameters(), same.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


def test_an_image_is_read_alike_alone_and_in_a_batch(network: nn.Module) -> None:
    images = pictures(6)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone)


def test_every_pixel_within_reach_can_be_attacked(network: nn.Module) -> None:
    images, labels = pictures(8), torch.arange(8)
    _, _, by_pixel = gradient(network, images, labels, None, cross_entropy)
    assert (by_pixel != 0).any(0).float().mean() > 0.9


def test_the_layers_explain_every_parameter(network: nn.Module) -> None:
    found = model.layers(network, channels=1, size=28)
    assert sum(layer.parameters for layer in found) == sum(p.numel() for p in network.parameters())
    assert found[-1].output == (10,)
    assert sum(layer.multiplications for layer in found) > 1000


def test_weights_survive_a_file(name: str, network: nn.Module) -> None:
    content = model.save(network, {"note": "ä"})
    again = model.build(name, channels=1, size=28, classes=10, seed=9).eval()
    again.load_state_dict(model.weights(content))
    assert torch.equal(again(pictures(3)), network(pictures(3)))
    assert model.about(content) == {"note": "ä"}
