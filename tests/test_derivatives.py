from pathlib import Path

import pytest
import torch
import toys
from torch import nn

from unfooled.derivatives import there
from unfooled.errors import InvalidModel
from unfooled.graph import Graph
from unfooled.graphed import alike, graphs
from unfooled.layers import Standardise
from unfooled.randomness import Draws

LAYERS = {
    "standardised": Standardise(0.4, 0.2),
    "by channel": Standardise((0.4, 0.3, 0.2), (0.2, 0.1, 0.3)),
    "strided": nn.Conv2d(3, 4, 3, stride=2),  # its last row and column begin no window
    "padded": nn.Conv2d(3, 4, (3, 2), padding=(2, 1), bias=False),
    "grouped": nn.Conv2d(3, 6, 3, groups=3, dilation=2),
    "batch": nn.BatchNorm2d(3),
    "plain batch": nn.BatchNorm2d(3, affine=False),
    "relu": nn.ReLU(),
    "leaky": nn.LeakyReLU(0.2),
    "tanh": nn.Tanh(),
    "pooled": nn.MaxPool2d(2),
    "pooled over a border": nn.MaxPool2d(3),
    "pooled with overlap": nn.MaxPool2d(3, stride=2, padding=1),
    "pooled far apart": nn.MaxPool2d(2, stride=3, dilation=2),
    "averaged": nn.AvgPool2d(2),
    "averaged with overlap": nn.AvgPool2d(3, stride=2, padding=1),
    "averaged whole": nn.AdaptiveAvgPool2d(1),
    "dropped": nn.Dropout(0.5),
}


def around(layer: nn.Module) -> nn.Module:
    """A network with the layer in its middle, with values on both sides of 0 before it."""
    with Draws(0, "around").torch_state():
        before = nn.Conv2d(1, 3, 1)
        shape = layer.eval()(before(torch.zeros(1, 1, toys.SIZE, toys.SIZE))).shape
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2)  # type: ignore[arg-type]
        return nn.Sequential(
            before, nn.Tanh(), layer, nn.Flatten(), nn.Linear(shape[1:].numel(), 3)
        ).eval()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_each_layer_goes_there_and_back_as_torch_does(layer: nn.Module, tmp_path: Path) -> None:
    images, network = toys.pictures(4), around(layer)
    alike(network, images, torch.tensor([0, 1, 2, 0]), graphs(network, images, tmp_path, "net"))


def test_a_pool_of_equal_pixels_sends_the_gradient_to_the_first(tmp_path: Path) -> None:
    images, network = torch.full((2, 1, toys.SIZE, toys.SIZE), 0.5), around(nn.MaxPool2d(2))
    alike(network, images, torch.tensor([0, 1]), graphs(network, images, tmp_path, "net"))


REFUSED = {
    "a convolution padded by reflect": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "a convolution padded by zeros, same": nn.Conv2d(3, 4, 3, padding="same"),
    "a batch normalisation without": nn.BatchNorm2d(3, track_running_stats=False),
    "an average pool that counts": nn.AvgPool2d(3, padding=1, count_include_pad=False),
    "an adaptive average pool to 2": nn.AdaptiveAvgPool2d(2),
    "a max-pool that rounds up": nn.MaxPool2d(3, ceil_mode=True),
    "a linear layer on what": nn.Linear(toys.SIZE, 3),
    "a flattening of some": nn.Flatten(2),
    "a layer of the kind Hardswish": nn.Hardswish(),
}


@pytest.mark.parametrize(("words", "layer"), REFUSED.items(), ids=REFUSED)
def test_what_is_not_known_is_named(words: str, layer: nn.Module) -> None:
    with pytest.raises(InvalidModel, match=words):
        there(Graph(), layer.eval(), ["images"], [torch.Size((3, toys.SIZE, toys.SIZE))])
