import math

import pytest
import torch
from torch import Tensor

from unfooled.hyperplane import to_plane
from unfooled.randomness import Draws

NORMS = [("Linf", math.inf), ("L2", 2.0), ("L1", 1.0)]


def planes(n: int = 60, d: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    """Points, weights and values on both sides, near and out of reach, some at the border."""
    draws = Draws(0)
    points = draws.step("points").uniform(torch.empty(n, d)).mul(1.4).sub(0.2).clamp(0, 1).double()
    weights = draws.step("weights").normal(points).double()
    weights = torch.where(draws.step("none").uniform(points) < 0.2, 0, weights)
    side = draws.step("side").signs(points[:, :1])[:, 0]
    values = side * torch.logspace(-4, 2.5, n, dtype=torch.float64)
    return points, weights, values


def by_bisection(norm: str, points: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """The same by two hundred halvings of the level, as plain as can be."""
    towards = weights * -values.sign()[:, None]
    room = torch.where(towards > 0, 1 - points, points)

    def moved(level: Tensor) -> Tensor:
        if norm == "Linf":
            return torch.minimum(room, level) * towards.sign()
        if norm == "L2":
            return torch.minimum(room, level * towards.abs()) * towards.sign()
        return room * (towards.abs() > 1 / level) * towards.sign()

    low, high = torch.zeros(len(points), 1).double(), torch.full((len(points), 1), 1e6).double()
    for _ in range(200):
        middle = (low + high) / 2
        enough = (moved(middle) * towards).sum(1, keepdim=True) >= values.abs()[:, None]
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return moved(high) if norm != "L1" else moved(low)


@pytest.mark.parametrize(("norm", "order"), NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_plane_is_met_where_the_box_reaches_it(
    norm: str, order: float, dtype: torch.dtype
) -> None:
    points, weights, values = (given.to(dtype) for given in planes())
    change = to_plane(norm, points, weights, values)
    assert change.dtype == dtype
    left = ((change * weights).sum(1) + values).abs() / values.abs()
    most = (torch.where(weights * values[:, None] < 0, 1 - points, points) * weights.abs()).sum(1)
    reached = most > values.abs()
    assert 30 < int(reached.sum()) < len(reached)
    assert (left[reached] < 1e-5).all()
    torch.testing.assert_close((change * weights).sum(1).abs()[~reached], most[~reached])
    ends = points + change
    assert -1e-6 <= float(ends.min()) <= float(ends.max()) <= 1 + 1e-6
    assert (change[weights == 0] == 0).all()


@pytest.mark.parametrize(("norm", "order"), NORMS)
def test_no_way_is_shorter(norm: str, order: float) -> None:
    points, weights, values = planes()
    change = to_plane(norm, points, weights, values)
    plain = by_bisection(norm, points, weights, values)
    if norm == "L1":  # all but the last pixel moves, which is the next in the order of weights
        differs = (change - plain).abs() > 1e-9
        assert int(differs.sum(1).max()) <= 1
    else:
        torch.testing.assert_close(
            change.norm(p=order, dim=1), plain.norm(p=order, dim=1), rtol=1e-5, atol=1e-9
        )


@pytest.mark.parametrize(("norm", "order"), NORMS)
def test_from_the_middle_of_the_box_the_way_is_value_over_dual_norm(
    norm: str, order: float
) -> None:
    _, weights, _ = planes()
    values = torch.full((60,), 0.01).double()
    change = to_plane(norm, torch.full_like(weights, 0.5), weights, values)
    dual = {math.inf: 1.0, 2.0: 2.0, 1.0: math.inf}[order]
    expected = 0.01 / weights.norm(p=dual, dim=1)
    torch.testing.assert_close(change.norm(p=order, dim=1), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("norm", "order"), NORMS)
def test_a_row_goes_its_way_whatever_stands_beside_it(norm: str, order: float) -> None:
    points, weights, values = planes()
    together = to_plane(norm, points, weights, values)
    for row in (0, 20, 45, 59):
        one = slice(row, row + 1)
        alone = to_plane(norm, points[one], weights[one], values[one])
        torch.testing.assert_close(alone, together[one], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("norm", "order"), NORMS)
def test_no_weight_and_no_way_give_no_change(norm: str, order: float) -> None:
    points = torch.full((2, 5), 0.5)
    weights = torch.tensor([[0.0] * 5, [1.0] * 5])
    change = to_plane(norm, points, weights, torch.tensor([1.0, 0.0]))
    assert torch.equal(change, torch.zeros_like(points))


@pytest.mark.parametrize(("norm", "order"), NORMS)
def test_vanishing_weights_lead_the_same_way(norm: str, order: float) -> None:
    points, weights, values = (given.float() for given in planes())
    usual = to_plane(norm, points, weights, values)
    scaled = to_plane(norm, points, weights * 2.0**-100, values * 2.0**-100)
    torch.testing.assert_close(scaled, usual)
