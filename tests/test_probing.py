"""Probes are judged, and what a network does to them is told."""

import io
from dataclasses import fields

import numpy as np
import pytest
import torch
import toys
from torch import nn

from unfooled.dataset import Dataset
from unfooled.errors import InvalidData
from unfooled.probed import Probed
from unfooled.probing import PROBES, probed
from unfooled.randomness import Draws
from unfooled.shapes import Images, Logits
from unfooled.threat import Threat

THREAT = Threat("Linf", 0.2)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with Draws(3, "probes").torch_state():
        return toys.pyramid(channels=1, size=toys.SIZE, classes=3)


class Odd(nn.Module):
    """A network, and something that its forward pass does to the images or the logits."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Images) -> Logits:
        return self.inner(images)


class Random(Odd):
    def forward(self, images: Images) -> Logits:
        logits = self.inner(images)
        return logits + torch.randn_like(logits)


class Undefined(Odd):
    def forward(self, images: Images) -> Logits:
        return self.inner(images + 0 * (images - images.detach()).abs().sqrt())


class Watching(Odd):
    def forward(self, images: Images) -> Logits:
        return self.inner(images.flip(3) if images.requires_grad else images)


class Broken(Odd):
    def forward(self, images: Images) -> Logits:
        raise ArithmeticError("no luck today")


def found(network: nn.Module, striped: Dataset, *others: nn.Module, n: int = 12) -> Probed:
    ids = striped.test.sample(n)
    return probed(network, striped.test, ids, THREAT, others, 3, draws=Draws(0, "probes"))


def test_every_probe_is_judged_and_only_what_needs_a_reason_is_left_out(
    network: nn.Module, striped: Dataset
) -> None:
    one = found(network, striped, toys.pyramid(channels=1, size=toys.SIZE, classes=3))
    assert one.names == tuple(PROBES)
    errors = dict(zip(one.names, one.errors, strict=True))
    assert errors.pop("averaged") == "the network is not random"
    assert not any(errors.values())
    assert one.astray == ""
    grey = network(torch.full((1, 1, toys.SIZE, toys.SIZE), 0.5))
    assert one.grey == int(grey.argmax())
    assert one.ids.tolist() == striped.test.sample(12).tolist()
    assert one.inside[[name != "averaged" for name in one.names]].all()
    assert one.fooled.shape == (len(PROBES), 12)
    assert (one.repeated == 0).all()
    assert (one.watched < 1e-5).all()
    assert np.nanmin(one.steady) > 0.5
    assert "gradient" in {finding.check for finding in one.findings}


def test_without_another_network_nothing_is_crafted_on_one(
    network: nn.Module, striped: Dataset
) -> None:
    one = found(network, striped)
    assert not one.ran("transfer")
    assert "at least one surrogate" in one.errors[one.names.index("transfer")]
    assert not one.fooled_by("transfer").any()


def test_the_network_stays_as_it_was_and_the_facts_are_the_same_again(
    network: nn.Module, striped: Dataset
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    one, two = found(network, striped), found(network, striped)
    assert network.training
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    for field in fields(Probed):
        pair = getattr(one, field.name), getattr(two, field.name)
        assert np.array_equal(*pair) if isinstance(pair[0], np.ndarray) else pair[0] == pair[1]


def test_facts_survive_a_file(network: nn.Module, striped: Dataset) -> None:
    one, file = found(network, striped), io.BytesIO()
    np.savez(file, **one.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        two = Probed.of_arrays(dict(arrays))
    for field in fields(Probed):
        pair = getattr(one, field.name), getattr(two, field.name)
        assert np.array_equal(*pair) if isinstance(pair[0], np.ndarray) else pair[0] == pair[1]


def test_facts_of_another_version_are_refused_in_one_line(
    network: nn.Module, striped: Dataset
) -> None:
    old = found(network, striped).arrays()
    del old["grey"]
    with pytest.raises(InvalidData, match="another version of unfooled, without grey"):
        Probed.of_arrays(old)


def test_a_network_that_always_says_one_class_is_not_stuck(striped: Dataset) -> None:
    class Constant(nn.Module):
        def forward(self, images: Images) -> Logits:
            return images.flatten(1)[:, :3] * 0 + torch.tensor([1.0, 0.0, 0.0])

    one = found(Constant(), striped)
    assert one.grey == 0
    assert (one.correct & (one.anywhere == one.labels)).any()
    assert not one.stuck.any()


def test_a_random_network_is_noted_and_attacked_through_its_mean(
    network: nn.Module, striped: Dataset
) -> None:
    one = found(Random(network), striped)
    assert (one.repeated > 0.01).all()
    assert one.ran("averaged")


def test_a_gradient_that_is_no_number_is_told_and_what_needs_none_goes_on(
    network: nn.Module, striped: Dataset
) -> None:
    one = found(Undefined(network), striped)
    assert not one.ran("margin")
    assert "NaN or infinite" in one.astray
    assert "NaN or infinite" in one.errors[one.names.index("margin")]
    assert one.ran("square")
    assert np.isnan(one.steady).all()
    assert ("gradient", "refused") in {(f.check, f.verdict) for f in one.findings}


def test_a_network_that_watches_for_gradients_is_noted(
    network: nn.Module, striped: Dataset
) -> None:
    assert (found(Watching(network), striped).watched > 0.001).all()


def test_a_network_that_reads_nothing_becomes_a_finding(
    network: nn.Module, striped: Dataset
) -> None:
    one = found(Broken(network), striped)
    assert not any(one.ran(name) for name in one.names)
    assert not one.correct.any()
    assert not one.fooled.any()
    assert np.isinf(one.repeated).all()
    assert [f.check for f in one.findings if f.verdict == "refused"] == ["forward"]
