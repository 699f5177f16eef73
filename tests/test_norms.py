import math

import pytest
import torch
import toys

from unfooled.norms import NORMS
from unfooled.randomness import Draws


@pytest.fixture(params=sorted(NORMS))
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_sizes_are_those_on_paper() -> None:
    delta = torch.tensor([[3.0, -4.0], [0.0, 0.0]]).view(2, 1, 1, 2)
    assert NORMS["Linf"].size(delta).tolist() == [4, 0]
    assert NORMS["L2"].size(delta).tolist() == [5, 0]


def test_projections_are_those_on_paper() -> None:
    delta = torch.tensor([[3.0, -4.0]]).view(1, 1, 1, 2)
    assert NORMS["Linf"].project(delta, 3.5).flatten().tolist() == [3, -3.5]
    torch.testing.assert_close(NORMS["L2"].project(delta, 2.5).flatten(), torch.tensor([1.5, -2]))


def test_a_change_inside_the_ball_is_not_moved(norm: str) -> None:
    delta = toys.pictures(5, low=-0.01, high=0.01)
    assert torch.equal(NORMS[norm].project(delta, 10.0), delta)


def test_a_projection_has_at_most_size_eps_and_is_its_own_projection(norm: str) -> None:
    once = NORMS[norm].project(toys.pictures(50, low=-9, high=9), 0.5)
    assert (NORMS[norm].size(once) <= 0.5 + 1e-6).all()
    torch.testing.assert_close(NORMS[norm].project(once, 0.5), once)


def test_no_point_of_the_ball_is_nearer_than_the_l2_projection() -> None:
    norm, delta = NORMS["L2"], toys.pictures(20, low=-1, high=1)
    nearest = norm.size(delta - norm.project(delta, 0.5))
    for step in range(20):
        other = norm.inside(delta, 0.5, Draws(step))
        assert (norm.size(delta - other) >= nearest - 1e-6).all()


def test_an_infinite_eps_moves_nothing(norm: str) -> None:
    delta = toys.pictures(5, low=-9, high=9)
    assert torch.equal(NORMS[norm].project(delta, math.inf), delta)


def test_the_steepest_change_has_size_1_and_reaches_the_dual_norm(norm: str) -> None:
    gradient = toys.pictures(5, low=-2, high=2)
    step = NORMS[norm].steepest(gradient)
    torch.testing.assert_close(NORMS[norm].size(step), torch.ones(5))
    dual = gradient.flatten(1).norm(p={"Linf": 1, "L2": 2}[norm], dim=1)
    torch.testing.assert_close((gradient * step).flatten(1).sum(1), dual)


def test_a_zero_gradient_has_no_steepest_change(norm: str) -> None:
    assert torch.equal(NORMS[norm].steepest(torch.zeros(2, 1, 3, 3)), torch.zeros(2, 1, 3, 3))


def test_a_vanishing_gradient_still_has_a_direction(norm: str) -> None:
    gradient = toys.pictures(4, low=-1, high=1) * 1e-30
    torch.testing.assert_close(
        NORMS[norm].steepest(gradient), NORMS[norm].steepest(gradient * 1e30)
    )


def test_points_inside_fill_the_ball(norm: str) -> None:
    like = torch.empty(4000, 1, 1, 2)
    found = NORMS[norm].inside(like, 0.5, Draws(0))
    sizes = NORMS[norm].size(found) / 0.5
    assert (sizes <= 1 + 1e-6).all()
    # In two dimensions the size of a uniform point has the distribution function size ** 2.
    quantiles = (sizes.sort().values ** 2 - torch.linspace(0, 1, 4000)).abs()
    assert float(quantiles.max()) < 1.63 / 4000**0.5
    assert float(found.mean(0).abs().max()) < 0.02


def test_points_on_the_edge_have_size_eps_and_no_direction_is_preferred(norm: str) -> None:
    found = NORMS[norm].edge(torch.empty(4000, 1, 1, 2), 0.5, Draws(0))
    torch.testing.assert_close(NORMS[norm].size(found), torch.full((4000,), 0.5))
    assert float(found.mean(0).abs().max()) < 0.03
