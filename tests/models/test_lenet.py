from torch import nn

from unfooled.models.lenet import lenet


def test_it_has_the_tutorials_21840_parameters() -> None:
    network = lenet(channels=1, size=28, classes=10)
    assert sum(p.numel() for p in network.parameters()) == 21_840


def test_it_ends_in_logits_unlike_the_tutorial_before_its_correction() -> None:
    assert isinstance(list(lenet(channels=1, size=28, classes=10).children())[-1], nn.Linear)
