"""Every attack in `attacks/` meets these tests by itself."""

import inspect
import math

import pytest
import torch
import toys
from torch import nn

from unfooled import attack, catalog
from unfooled.attack import GIVEN, Attack, Sealed
from unfooled.errors import InvalidInput, InvalidModel, InvalidThreat
from unfooled.gradients import frozen, predict
from unfooled.losses import cross_entropy, fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

THREATS = [Threat("Linf", 0.15), Threat("L2", 0.8)]
DRAWS = Draws(0, "contract", torch.arange(100, 124))


@pytest.fixture(params=catalog.names("attacks"))
def tried(request: pytest.FixtureRequest) -> Attack:
    return attack.find(str(request.param))


@pytest.fixture(params=THREATS, ids=str)
def threat(request: pytest.FixtureRequest) -> Threat:
    found: Threat = request.param
    return found


@pytest.fixture
def images() -> Images:
    """Some close to black or white, so that the range of pixels is met."""
    return toys.pictures(24)


@pytest.fixture
def labels(net: nn.Module, images: Images) -> Labels:
    read = toys.read_by(net, images)
    net.train()
    return read


def test_an_attack_says_what_it_promises_and_what_it_knows(tried: Attack) -> None:
    home = catalog.module("attacks", tried.name)
    assert home.PROMISE in ("bounded", "nearest")
    assert home.KNOWS in ("gradients", "scores", "decisions", "nothing")
    assert "Source:" in (tried.function.__doc__ or "")


def test_every_attack_takes_the_same_things_in_the_same_order(tried: Attack) -> None:
    parameters = inspect.signature(tried.function).parameters
    assert list(parameters)[:6] == ["model", "images", "labels", "threat", *GIVEN]
    for name, parameter in list(parameters.items())[4:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert name == "draws" or parameter.default is not parameter.empty


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_kind_and_range_stay(
    tried: Attack,
    threat: Threat,
    net: nn.Module,
    images: Images,
    labels: Labels,
    dtype: torch.dtype,
) -> None:
    given = images.to(dtype)
    changed = tried.run(net.to(dtype), given, labels, threat, draws=DRAWS)
    assert changed.shape == images.shape
    assert changed.dtype == dtype
    assert changed.device == images.device
    assert not changed.requires_grad
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert not torch.equal(changed, given)


def test_a_bounded_attack_stays_inside_the_threat(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    if tried.promise != "bounded":
        pytest.skip(f"{tried.name} promises the nearest image, not one inside the threat")
    changed = tried.run(net, images, labels, threat, draws=DRAWS)
    delta = (changed.double() - images.double()).flatten(1)
    size = delta.norm(p={"Linf": math.inf, "L2": 2}[threat.norm], dim=1)
    assert float(size.max()) <= threat.eps + 1e-6


def test_equal_draws_give_equal_images(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    one, two = (tried.run(net, images, labels, threat, draws=DRAWS) for _ in range(2))
    assert torch.equal(one, two)


def test_neither_the_batch_nor_the_order_matters(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    assert DRAWS.ids is not None
    together = tried.run(net, images, labels, threat, draws=DRAWS)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    mixed = tried.run(net, images[order], labels[order], threat, draws=DRAWS.at(DRAWS.ids[order]))
    torch.testing.assert_close(mixed, together[order])
    for part in torch.arange(24).split(7)[2:]:
        alone = tried.run(net, images[part], labels[part], threat, draws=DRAWS.at(DRAWS.ids[part]))
        torch.testing.assert_close(alone, together[part])


def test_a_batch_of_one_is_attacked(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    changed = tried.run(net, images[:1], labels[:1], threat, draws=Draws(0))
    assert changed.shape == (1, 1, toys.SIZE, toys.SIZE)
    assert not torch.equal(changed, images[:1])


def test_an_empty_batch_is_refused(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    with pytest.raises(InvalidInput, match="the batch is empty"):
        tried.run(net, images[:0], labels[:0], threat, draws=Draws(0))


def test_nothing_that_was_handed_in_is_touched(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    net[1].bias.requires_grad_(False)
    net[1].weight.grad = torch.full_like(net[1].weight, 7)
    net[3].eval()
    copies = images.clone(), labels.clone()
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    state = torch.get_rng_state()

    tried.run(net, images, labels, threat, draws=DRAWS)

    assert torch.equal(images, copies[0])
    assert torch.equal(labels, copies[1])
    assert not images.requires_grad
    assert images.grad is None
    assert all(torch.equal(net.state_dict()[name], weight) for name, weight in weights.items())
    assert (net[1].weight.grad == 7).all()
    assert all(p.grad is None for p in net.parameters() if p is not net[1].weight)
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True]
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_images_that_are_misread_from_the_start_come_back_unchanged(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    wrong = labels.clone()
    wrong[::3] = (wrong[::3] + 1) % 3
    changed = tried.run(net, images, wrong, threat, draws=DRAWS)
    assert torch.equal(changed[::3], images[::3])
    assert not torch.equal(changed[1::3], images[1::3])
    everything = tried.run(net, images, (labels + 1) % 3, threat, draws=DRAWS)
    assert torch.equal(everything, images)


def test_gradients_may_be_switched_off_around_it(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    usual = tried.run(net, images, labels, threat, draws=DRAWS)
    with torch.no_grad():
        assert torch.equal(tried.run(net, images, labels, threat, draws=DRAWS), usual)
        assert not torch.is_grad_enabled()


def test_at_eps_0_images_stay_as_they_are(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    if tried.promise != "bounded":
        pytest.skip(f"{tried.name} promises the nearest image, not one inside the threat")
    nothing = Threat(threat.norm, 0.0)
    assert torch.equal(tried.run(net, images, labels, nothing, draws=DRAWS), images)
    with frozen(net):
        alone = tried.function(net, images, labels, nothing, draws=DRAWS)
    assert torch.equal(alone, images)


def test_an_infinite_eps_is_refused(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    if tried.promise != "bounded":
        pytest.skip(f"{tried.name} promises the nearest image and needs no bound")
    with pytest.raises(InvalidThreat, match="infinite"):
        tried.run(net, images, labels, Threat(threat.norm, math.inf), draws=DRAWS)


def test_an_attack_moves_images_towards_being_misread(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    if tried.knows == "nothing":
        pytest.skip(f"{tried.name} knows nothing that it could follow")
    changed = tried.run(net, images, labels, threat, draws=DRAWS)
    before = cross_entropy(predict(net, images), labels)
    after = cross_entropy(predict(net, changed), labels)
    misread = fooled(predict(net, changed), labels)
    assert (misread | (after > before)).all()
    assert misread.sum() > 5
    assert (after > before).sum() > 20


def test_a_targeted_attack_moves_images_towards_their_targets(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    if tried.knows == "nothing":
        pytest.skip(f"{tried.name} knows nothing that it could follow")
    for shift in (1, 2):
        targets = (labels + shift) % 3
        changed = tried.run(net, images, labels, threat, draws=DRAWS, targets=targets)
        before, after = predict(net, images).softmax(1), predict(net, changed).softmax(1)
        gain = (after - before).gather(1, targets[:, None])[:, 0]
        reached = after.argmax(1) == targets
        assert (reached | (gain > 0)).all()
        assert reached.sum() > 5


def test_a_sealed_model_suffices_for_an_attack_that_knows_less_than_gradients(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    sealed = Sealed(net.eval())
    if tried.knows == "gradients":
        with pytest.raises(InvalidModel, match="gives no gradient"):
            tried.function(sealed, images, labels, threat, draws=DRAWS)
    else:
        alone = tried.function(sealed, images, labels, threat, draws=DRAWS)
        assert torch.equal(alone, tried.run(net, images, labels, threat, draws=DRAWS))


def test_a_model_whose_gradient_is_no_number_is_an_error_and_not_robust(
    tried: Attack, threat: Threat, net: nn.Module, images: Images, labels: Labels
) -> None:
    if tried.knows != "gradients":
        pytest.skip(f"{tried.name} follows no gradient")

    class Steep(nn.Module):
        """Reads as the network does; its gradient is infinite times zero."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = net(images)
            return logits + (images * 0).flatten(1).sum(1, keepdim=True).abs().sqrt()

    with pytest.raises(InvalidModel, match="NaN or infinite"):
        tried.run(Steep(), images, labels, threat, draws=DRAWS)
