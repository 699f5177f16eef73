from torch import nn

from unfooled import model
from unfooled.layers import Standardise
from unfooled.models.strided_deep import strided_deep


def test_it_is_as_large_as_its_description_says() -> None:
    network = strided_deep(channels=1, size=28, classes=10)
    assert sum(p.numel() for p in network.parameters()) == 425_562
    layers = model.layers(network, channels=1, size=28)
    assert round(sum(layer.multiplications for layer in layers) / 1e6, 1) == 2.2


def test_it_has_no_pooling_so_that_it_can_be_certified() -> None:
    kinds = {type(module) for module in strided_deep(channels=1, size=28, classes=10).modules()}
    assert kinds <= {nn.Sequential, nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear, Standardise}
