import pytest
from torch import nn

from unfooled import model
from unfooled.models.resnet18 import resnet18


def test_it_is_as_large_as_its_description_says() -> None:
    network = resnet18(channels=1, size=28, classes=10)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 11.2
    layers = model.layers(network, channels=1, size=28)
    assert round(sum(layer.multiplications for layer in layers) / 1e6) == 456
    assert len([layer for layer in layers if layer.kind in ("Conv2d", "Linear")]) == 18 + 3


@pytest.mark.parametrize(("size", "side"), [(28, 28), (64, 64), (65, 17), (224, 56)])
def test_small_images_keep_every_row_and_column(size: int, side: int) -> None:
    network = resnet18(channels=3, size=size, classes=5)
    first = next(
        layer.output
        for layer in model.layers(network, channels=3, size=size)
        if layer.kind == "Conv2d" and layer.kernel == "3x3, stride 1" and layer.field != 3
    )
    assert first == (64, side, side)


def test_a_large_image_meets_the_published_network() -> None:
    network = resnet18(channels=3, size=224, classes=1000)
    assert sum(p.numel() for p in network.parameters()) == 11_689_512
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(nn.Conv2d) == 20
    assert kinds.count(nn.MaxPool2d) == 1
