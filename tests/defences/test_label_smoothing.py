import torch
import toys

from unfooled.defences.label_smoothing import label_smoothing
from unfooled.randomness import Draws


def test_a_share_of_the_label_is_spread_over_all_classes() -> None:
    net, images, labels = toys.net().eval(), toys.pictures(6), torch.arange(6) % 3
    found = label_smoothing(net, images, labels, draws=Draws(0), progress=0.5, smoothing=0.3)
    wanted = 0.7 * torch.eye(3)[labels] + 0.1
    torch.testing.assert_close(found, -(wanted * net(images).log_softmax(1)).sum(1))


def test_without_smoothing_it_is_the_cross_entropy() -> None:
    net, images, labels = toys.net().eval(), toys.pictures(6), torch.arange(6) % 3
    found = label_smoothing(net, images, labels, draws=Draws(0), progress=0.5, smoothing=0.0)
    torch.testing.assert_close(found, -net(images).log_softmax(1).gather(1, labels[:, None])[:, 0])
