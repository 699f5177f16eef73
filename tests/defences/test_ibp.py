import pytest
import torch
import toys
from torch import nn

from unfooled import interval
from unfooled.defences.ibp import ibp
from unfooled.errors import InvalidModel
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.threat import Threat

NET, IMAGES, LABELS = toys.net().eval(), toys.pictures(6), torch.arange(6) % 3


def test_before_eps_grows_it_is_the_cross_entropy() -> None:
    found = ibp(NET, IMAGES, LABELS, draws=Draws(0), progress=0.05)
    torch.testing.assert_close(found, cross_entropy(NET(IMAGES), LABELS))


def test_afterwards_the_worst_has_its_share() -> None:
    found = ibp(NET, IMAGES, LABELS, draws=Draws(0), progress=1.0, eps=0.02, kappa=0.25)
    worst = interval.margins(NET, IMAGES, LABELS, Threat("Linf", 0.02))
    expected = 0.25 * cross_entropy(NET(IMAGES), LABELS) + 0.75 * cross_entropy(worst, LABELS)
    torch.testing.assert_close(found, expected)
    assert (cross_entropy(worst, LABELS) > cross_entropy(NET(IMAGES), LABELS)).all()


def test_a_network_without_bounds_is_an_error() -> None:
    net = nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(64, 3))
    with pytest.raises(InvalidModel, match="GELU"):
        ibp(net, IMAGES, LABELS, draws=Draws(0), progress=1.0)
