import pytest
import torch
from torch import nn

from unfooled.interval import Box
from unfooled.lines import Lines, bends, bent, lines, rectifies

LOW = torch.tensor([[-3.0, -1.0, -2.0, 0.5, -0.5, 1.0]], dtype=torch.float64)
HIGH = torch.tensor([[-1.0, 3.0, 1.0, 2.0, 0.0, 1.0]], dtype=torch.float64)
BOX = Box.between(LOW, HIGH)


@pytest.mark.parametrize(
    "module",
    [
        nn.ReLU(),
        *(nn.LeakyReLU(slope) for slope in (0.0, 0.1, 1.0, 1.5, -0.3)),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Softplus(),
        nn.Softplus(beta=3.0),
    ],
    ids=repr,
)
def test_no_number_of_the_box_lies_outside_the_lines(module: nn.Module) -> None:
    found = lines(module, BOX)
    assert isinstance(found, Lines)
    for share in torch.linspace(0, 1, 201, dtype=torch.float64):
        given = LOW + share * (HIGH - LOW)
        gives = module(given)
        assert (found.low_slope * given + found.low_at <= gives + 1e-12).all()
        assert (gives <= found.high_slope * given + found.high_at + 1e-12).all()


def test_of_a_relu_they_are_what_paper_says() -> None:
    found = lines(nn.ReLU(), BOX)
    assert isinstance(found, Lines)
    # -1 to 3: below 3/4 (x + 1), above x, which leaves less room; -2 to 1: above 0.
    assert found.high_slope[0].tolist() == pytest.approx([0, 0.75, 1 / 3, 1, 0, 1])
    assert found.high_at[0].tolist() == pytest.approx([0, 0.75, 2 / 3, 0, 0, 0])
    assert found.low_slope[0].tolist() == pytest.approx([0, 1, 0, 1, 0, 1])
    assert not found.low_at.any()
    assert bent(nn.ReLU(), BOX)[0].tolist() == [False, True, True, False, False, False]


def test_rows_go_back_by_the_line_that_makes_them_no_less() -> None:
    found = lines(nn.ReLU(), Box.between(LOW[:, 1:2], HIGH[:, 1:2]))
    rows, added = found.back(torch.tensor([[2.0], [-2.0]], dtype=torch.float64))
    assert rows[:, 0].tolist() == pytest.approx([1.5, -2.0])
    assert added.tolist() == pytest.approx([1.5, 0.0])


def test_which_layers_bend_and_which_of_them_rectify() -> None:
    assert bends(nn.Tanh())
    assert not bends(nn.Linear(1, 1))
    assert rectifies(nn.LeakyReLU(0.2))
    assert not rectifies(nn.LeakyReLU(1.5))
    assert not rectifies(nn.Tanh())
