import torch
import toys
from torch import nn

from unfooled.defences.standard import standard
from unfooled.randomness import Draws


def test_it_is_the_cross_entropy() -> None:
    net, images, labels = toys.net().eval(), toys.pictures(6), torch.arange(6) % 3
    found = standard(net, images, labels, draws=Draws(0), progress=0.5)
    expected = nn.CrossEntropyLoss(reduction="none")(net(images), labels)
    torch.testing.assert_close(found, expected)
