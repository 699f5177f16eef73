"""Every defence in `defences/` meets these tests by itself."""

import inspect

import pytest
import torch
import toys
from torch import nn

from unfooled import catalog, defence
from unfooled.defence import GIVEN, Defence
from unfooled.randomness import Draws
from unfooled.shapes import Images, PerImage

LABELS = torch.arange(12) % 3


@pytest.fixture(params=catalog.names("defences"))
def tried(request: pytest.FixtureRequest) -> Defence:
    return defence.find(str(request.param))


@pytest.fixture
def images() -> Images:
    return toys.pictures(12)


@pytest.fixture
def net() -> nn.Module:
    """Without dropout, whose chance belongs to the batch."""
    made = toys.net()
    made[3] = nn.Identity()
    return made


def losses(tried: Defence, net: nn.Module, images: Images, **changes: object) -> PerImage:
    given = {"draws": Draws(0, "d"), "progress": 1.0, **changes}
    found: PerImage = tried.function(net, images, LABELS[: len(images)], **given)
    return found


def test_every_defence_takes_the_same_things_in_the_same_order(tried: Defence) -> None:
    parameters = inspect.signature(tried.function).parameters
    assert list(parameters)[:5] == ["model", "images", "labels", *GIVEN]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[3:])
    assert all(p.default is not p.empty for p in list(parameters.values())[5:])
    assert "Source:" in (tried.function.__doc__ or "") or tried.name == "standard"


def test_there_is_a_finite_loss_for_each_image_that_the_weights_can_lower(
    tried: Defence, net: nn.Module, images: Images
) -> None:
    found = losses(tried, net, images)
    assert found.shape == (12,)
    assert bool(found.isfinite().all())
    found.mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
    assert float(sum(p.grad.abs().sum() for p in net.parameters() if p.grad is not None)) > 0


def test_a_few_steps_down_the_loss_teach_the_labels(
    tried: Defence, net: nn.Module, images: Images
) -> None:
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(60):
        adam.zero_grad()
        losses(tried, net, images, progress=0.05, draws=Draws(step)).mean().backward()
        adam.step()
    assert (toys.read_by(net, images) == LABELS).all()


def test_an_images_loss_does_not_depend_on_its_batch(
    tried: Defence, net: nn.Module, images: Images
) -> None:
    ids = torch.arange(12) + 40
    together = losses(tried, net, images, draws=Draws(0, "d", ids))
    alone = losses(tried, net, images[:1], draws=Draws(0, "d", ids[:1]))
    torch.testing.assert_close(together[:1], alone)


def test_equal_draws_give_equal_losses(tried: Defence, net: nn.Module, images: Images) -> None:
    assert torch.equal(losses(tried, net, images), losses(tried, net, images))


def test_nothing_that_was_handed_in_is_touched(
    tried: Defence, net: nn.Module, images: Images
) -> None:
    net.train()
    copy, state = images.clone(), torch.get_rng_state()
    weights = [p.detach().clone() for p in net.parameters()]
    losses(tried, net, images)
    assert torch.equal(images, copy)
    assert images.grad is None
    assert all(torch.equal(p, w) for p, w in zip(net.parameters(), weights, strict=True))
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("progress", [0.0, 0.001, 0.5, 1.0])
def test_every_moment_of_the_training_has_a_loss(
    tried: Defence, net: nn.Module, images: Images, progress: float
) -> None:
    assert bool(losses(tried, net, images, progress=progress).isfinite().all())
