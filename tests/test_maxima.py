import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unfooled.interval import Box
from unfooled.maxima import contested, largest
from unfooled.randomness import Draws


def box(size: int, radius: float) -> Box:
    middle = Draws(0, "pool").uniform(torch.empty(2, 3, size, size)).double()
    return Box(middle, torch.full_like(middle, radius))


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(
    "module",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.MaxPool2d((2, 3), stride=(3, 1)),
        nn.MaxPool2d(2, stride=3, dilation=2, ceil_mode=True),
    ],
    ids=repr,
)
def test_the_member_that_is_chosen_is_the_largest_of_its_window(
    module: nn.MaxPool2d, size: int
) -> None:
    given = box(size, 0.0)
    found = largest(module, given)
    expected = module(given.middle)
    assert found.member.shape[2] == expected[0, 0].numel()
    picked = given.middle.flatten(2).gather(2, found.member)
    assert torch.equal(picked, expected.flatten(2))
    assert torch.equal(found.top, expected.flatten(2))
    assert found.sure.all()


def test_rows_go_back_to_the_member_or_to_the_top() -> None:
    low = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    sure, open_ = Box.between(low, low + 0.9), Box.between(low, low + 2.0)
    rows = torch.tensor([[[[3.0]]], [[[-3.0]]]])
    back, added = largest(nn.MaxPool2d(2), sure).at(torch.tensor([0, 0])).back(rows)
    assert back[:, 0, 0, 1].tolist() == [3, -3]
    assert not added.any()
    # A row that wants much gets the largest bound of all, one that wants little the member.
    back, added = largest(nn.MaxPool2d(2), open_).at(torch.tensor([0, 0])).back(rows)
    assert back[:, 0, 0, 1].tolist() == [0, -3]
    assert added.tolist() == [9, 0]


def test_what_may_be_the_largest_is_contested() -> None:
    given = Box.between(
        torch.tensor([[[[0.0, 1.0, 5.0], [0.0, -9.0, 0.0]]]]),
        torch.tensor([[[[2.0, 1.5, 6.0], [0.5, -8.0, 1.0]]]]),
    )
    found = contested(nn.MaxPool2d((2, 1)), given)
    # Only the first column has two numbers of which each may be larger.
    assert found[0, 0].tolist() == [[True, False, False], [True, False, False]]


def test_padding_is_never_the_largest() -> None:
    given = Box(-torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))
    assert (largest(nn.MaxPool2d(3, stride=2, padding=1), given).top == -1).all()
    assert (F.max_pool2d(given.middle, 3, 2, 1) == -1).all()
