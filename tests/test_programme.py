import math

import pytest
import torch
from torch import nn

from unfooled.backward import chain
from unfooled.condensed import Condensed, Rows, Split, condensed, whole
from unfooled.crown import known
from unfooled.gradients import frozen
from unfooled.programme import settled
from unfooled.threat import Threat


def problem() -> tuple[Condensed, Rows]:
    """The sum of relu(x + y - 1) and relu(x - y), of two pixels within 0.1 of 0.5."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        net[1].bias.copy_(torch.tensor([-1.0, 0.0]))
        net[3].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
        net[3].bias.zero_()
    image = torch.full((1, 1, 1, 2), 0.5, dtype=torch.float64)
    with frozen(net), torch.no_grad():
        found = known(chain(net, image), image, Threat("Linf", 0.1))
        return condensed(found, torch.tensor([[-1.0, 1.0]], dtype=torch.float64))


def part(signs: list[int]) -> Split:
    start = whole(problem()[0], 1)
    return Split((torch.tensor([signs], dtype=torch.int8),), start.slopes, start.pushes)


@pytest.mark.parametrize(
    ("signs", "highest"),
    [
        # Either is below half of (itself + 0.2), so that both are below x - 0.3.
        ([0, 0], 0.3),
        ([1, 1], 0.2),  # x + y - 1 + x - y = 2 x - 1
        ([1, -1], 0.2),  # x + y - 1, and x no more than y
        ([-1, 1], 0.2),  # x - y
        ([-1, -1], 0.0),
    ],
)
def test_the_bound_of_a_part_is_what_paper_says_and_no_less(
    signs: list[int], highest: float
) -> None:
    found = settled(*problem(), part(signs))
    assert found.bound >= highest - 1e-12
    assert found.bound == pytest.approx(highest, abs=1e-7)
    assert Threat("Linf", 0.1).allows(torch.full((1, 1, 1, 2), 0.5).double(), found.images).all()


def test_signs_that_contradict_each_other_are_a_part_without_images() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0], [1.0]]))
        net[1].bias.copy_(torch.tensor([-0.45, -0.55]))
    image = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    with frozen(net), torch.no_grad():
        found = known(chain(net, image), image, Threat("Linf", 0.1))
        one, rows = condensed(found, torch.tensor([[-1.0, 1.0]], dtype=torch.float64))
    start = whole(one, 1)

    def at(signs: list[int]) -> float:
        given = (torch.tensor([signs], dtype=torch.int8),)
        return settled(one, rows, Split(given, start.slopes, start.pushes)).bound

    assert at([-1, 1]) == -math.inf  # below 0.45 and above 0.55
    assert math.isfinite(at([1, -1]))


def test_a_network_without_open_relus_is_a_programme_of_pixels() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).double()
    image = torch.full((1, 1, 1, 2), 0.5, dtype=torch.float64)
    with frozen(net), torch.no_grad():
        found = known(chain(net, image), image, Threat("Linf", 0.1))
        one, rows = condensed(found, torch.tensor([[-1.0, 1.0]], dtype=torch.float64))
        margin = net(image)[0]
        weight = net[1].weight[1] - net[1].weight[0]
    expected = float(margin[1] - margin[0] + 0.1 * weight.abs().sum())
    assert settled(one, rows, whole(one, 1)).bound == pytest.approx(expected)
