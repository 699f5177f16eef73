import pytest
import torch
import toys
from torch import nn

from unfooled.backward import Chain, chain
from unfooled.gradients import frozen
from unfooled.layers import Standardise
from unfooled.lines import bends
from unfooled.randomness import Draws

SIZES = {
    "conv": nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 0), dilation=(1, 2)),
    "conv that leaves pixels out": nn.Conv2d(3, 4, 3, stride=3),
    "conv in groups": nn.Conv2d(3, 6, 3, groups=3, bias=False),
    "conv of the same size": nn.Conv2d(3, 2, 3, padding="same"),
    "batch normalisation": nn.BatchNorm2d(3),
    "mean": nn.AvgPool2d(3, stride=2, padding=1),
    "standardised": Standardise((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    "dropout": nn.Dropout(0.5),
}


def of(*layers: nn.Module) -> tuple[nn.Module, Chain]:
    net = nn.Sequential(*layers).double().eval()
    with frozen(net), torch.no_grad():
        return net, chain(net, torch.zeros(1, 3, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize("name", SIZES)
def test_rows_through_a_linear_layer_give_the_same_product(name: str) -> None:
    with Draws(0, name).torch_state(), torch.no_grad():
        layer = SIZES[name].double()
        for numbers in (*layer.parameters(), *layer.buffers()):
            if numbers.is_floating_point():
                numbers.uniform_(0.5, 1.5)
        images = torch.rand(5, 3, 8, 8, dtype=torch.float64)
        net, found = of(layer, nn.Flatten())
        given = net(images)
        rows = torch.randn(7, given.shape[1], dtype=torch.float64)
        back, added = found.back(rows, 2)
        assert back.shape == (7, 3, 8, 8)
        torch.testing.assert_close(
            images.flatten(1) @ back.flatten(1).t() + added, given @ rows.t()
        )


def test_units_are_the_single_numbers_that_a_layer_is_given() -> None:
    net = toys.rectified().double()
    images = toys.pictures(4).double()
    with frozen(net), torch.no_grad():
        found = chain(net, images)
        steps = list(found.steps)
        given = images
        for place, step in enumerate(steps):
            if bends(step):
                rows, added = found.units(place, torch.arange(found.shapes[place].numel()))
                first = found.linear(place)
                before = nn.Sequential(*steps[:first])(images)
                expected = before.flatten(1) @ rows.flatten(1).t() + added
                torch.testing.assert_close(given.flatten(1), expected)
            given = step(given)
        assert found.kept
        assert found.windows


def test_linear_layers_are_walked_together() -> None:
    _, found = of(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    assert [found.linear(end) for end in range(6)] == [0, 0, 0, 3, 3, 3]
