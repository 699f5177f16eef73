import pytest
import torch
from torch import Tensor, nn

from unfooled import catalog, model, together
from unfooled.errors import OutOfMemory
from unfooled.together import Together

SHAPE = {"channels": 1, "size": 28, "classes": 3}
SEEDS = range(3)
NETWORKS = sorted(
    {*catalog.names("models")} - {"strided_deep"}
)  # whose layers are those of `strided`


def networks(name: str) -> list[nn.Module]:
    return [model.build(name, **SHAPE, seed=seed) for seed in SEEDS]


@pytest.fixture
def images() -> Tensor:
    """Four for each network, all of them others."""
    return torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def gradients(network: nn.Module) -> list[Tensor]:
    return [weight.grad for weight in network.parameters() if weight.grad is not None]


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_reads_its_share_as_it_would_alone(name: str, images: Tensor) -> None:
    alone = [network.eval() for network in networks(name)]
    joined = Together(alone).eval()
    expected = torch.cat([one(few) for one, few in zip(alone, images.chunk(3), strict=True)])
    torch.testing.assert_close(joined(images), expected, rtol=1e-4, atol=1e-5)


def test_each_network_learns_from_its_own_losses_alone(images: Tensor) -> None:
    alone, joined = networks("strided"), Together(networks("strided"))
    joined(images).square().sum().backward()
    for place, (one, few) in enumerate(zip(alone, images.chunk(3), strict=True)):
        one(few).square().sum().backward()
        for own, beside in zip(gradients(one), gradients(joined), strict=True):
            torch.testing.assert_close(beside[place], own, rtol=1e-4, atol=1e-5)


def test_averages_over_batches_are_kept_for_each(images: Tensor) -> None:
    alone, joined = networks("resnet18"), Together(networks("resnet18")).train()
    joined(images)
    for one, few, beside in zip(alone, images.chunk(3), joined.apart(), strict=True):
        one.train()(few)
        for (name, own), other in zip(one.named_buffers(), beside.buffers(), strict=True):
            torch.testing.assert_close(other, own, rtol=1e-3, atol=1e-4, msg=name)


def test_networks_that_are_taken_apart_are_what_they_were_and_no_longer_change() -> None:
    before = networks("strided")
    joined = Together(before)
    apart = joined.apart()
    with torch.no_grad():
        for weight in joined.parameters():
            weight.zero_()
    for one, other in zip(before, apart, strict=True):
        assert one.state_dict().keys() == other.state_dict().keys()
        for own, beside in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(own, beside)


class Choosing(nn.Linear):
    """Looks at its images before it decides."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return super().forward(-flat if bool(flat.sum() > 0) else flat)


class Remembering(nn.Linear):
    """Has a buffer that it does not change in place, which is lost where networks are joined."""

    def __init__(self) -> None:
        super().__init__(784, 3)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * images.mean()
        return super().forward(images.flatten(1) - self.mean)


class Keeping(nn.Linear):
    """Keeps what it has seen."""

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images.flatten(1)
        return super().forward(self.seen)


def test_what_cannot_be_put_side_by_side_is_told(images: Tensor) -> None:
    assert not together.fits([Choosing(784, 3), Choosing(784, 3)], images)
    assert not together.fits([Remembering(), Remembering()], images)


def test_what_a_network_keeps_of_a_pass_is_no_hindrance(images: Tensor) -> None:
    assert together.fits([Keeping(784, 3), Keeping(784, 3)], images)


def test_frozen_weights_stay_frozen(images: Tensor) -> None:
    fixed = networks("strided")
    for one in fixed:
        one[1].weight.requires_grad_(False)
    joined = Together(fixed)
    joined(images).sum().backward()
    frozen = [weight.grad is None for weight in joined.parameters()]
    assert frozen == [True, *[False] * (len(frozen) - 1)]
    assert together.fits(fixed, images)


def test_dropout_does_not_hinder_and_chance_is_left_as_it_was(images: Tensor) -> None:
    before = torch.get_rng_state()
    assert together.fits(networks("tutorial_cnn"), images)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_that_computes_something_else_side_by_side_is_told(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert together.fits(networks("strided"), images)
    true = Together.forward
    monkeypatch.setattr(Together, "forward", lambda self, few: true(self, few).flip(0))
    assert not together.fits(networks("strided"), images)


def test_too_little_memory_to_find_out_is_no_answer(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(together, "_fit", full)
    with pytest.raises(OutOfMemory):
        together.fits(networks("strided"), images)
