import math

import pytest
import torch
import toys

from unfooled.errors import InvalidThreat
from unfooled.norms import NORMS
from unfooled.randomness import Draws

# With few pixels a sparse step moves a single one, which is the steepest for L1.
DUALS = {"Linf": 1.0, "L2": 2.0, "L1": math.inf, "L0": math.inf}


@pytest.fixture(params=["L0", "L1", "L2", "Linf"])
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_sizes_are_those_on_paper() -> None:
    delta = torch.tensor([[3.0, -4.0], [0.0, 0.0]]).view(2, 1, 1, 2)
    assert NORMS["Linf"].size(delta).tolist() == [4, 0]
    assert NORMS["L2"].size(delta).tolist() == [5, 0]
    assert NORMS["L1"].size(delta).tolist() == [7, 0]
    assert NORMS["L0"].size(delta).tolist() == [2, 0]


def test_projections_are_those_on_paper() -> None:
    delta = torch.tensor([[3.0, -4.0]]).view(1, 1, 1, 2)
    assert NORMS["Linf"].project(delta, 3.5).flatten().tolist() == [3, -3.5]
    torch.testing.assert_close(NORMS["L2"].project(delta, 2.5).flatten(), torch.tensor([1.5, -2]))
    # Both pixels give up the same, as long as they have as much.
    torch.testing.assert_close(NORMS["L1"].project(delta, 5.0).flatten(), torch.tensor([2.0, -3]))
    torch.testing.assert_close(NORMS["L1"].project(delta, 0.5).flatten(), torch.tensor([0, -0.5]))
    assert NORMS["L0"].project(delta, 1.0).flatten().tolist() == [0, -4]
    assert NORMS["L0"].project(delta, 1.9).flatten().tolist() == [0, -4]
    assert NORMS["L0"].project(delta, 0.9).flatten().tolist() == [0, 0]


def test_the_table_is_complete_and_every_norm_knows_its_name() -> None:
    assert {name: norm.name for name, norm in NORMS.items()} == {
        name: name for name in ("Linf", "L2", "L1", "L0", "spatial")
    }


def test_a_change_inside_the_ball_is_not_moved(norm: str) -> None:
    delta = toys.pictures(5, low=-0.01, high=0.01)
    assert torch.equal(NORMS[norm].project(delta, 64.0), delta)


def test_a_projection_has_at_most_size_eps_and_is_its_own_projection(norm: str) -> None:
    for eps in (0.5, 2.5):
        once = NORMS[norm].project(toys.pictures(50, low=-9, high=9), eps)
        assert (NORMS[norm].size(once) <= eps + 1e-6).all()
        torch.testing.assert_close(NORMS[norm].project(once, eps), once)


@pytest.mark.parametrize("eps", [0.5, 12.0, 100.0])
@pytest.mark.parametrize("largest", [0.05, 1.0, 9.0])
def test_sums_over_many_pixels_are_not_rounded_out_of_the_ball(
    norm: str, eps: float, largest: float
) -> None:
    delta = (2 * Draws(0).uniform(torch.empty(4, 3, 64, 64)) - 1) * largest
    once = NORMS[norm].project(delta, eps)
    assert (NORMS[norm].size(once.double()) <= eps + 1e-6).all()


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_no_point_of_the_ball_is_nearer_than_the_projection(norm: str) -> None:
    delta = toys.pictures(20, low=-1, high=1)
    nearest = NORMS["L2"].size(delta - NORMS[norm].project(delta, 0.5))
    for step in range(20):
        other = NORMS[norm].inside(delta, 0.5, Draws(step))
        assert (NORMS["L2"].size(delta - other) >= nearest - 1e-6).all()
        nearer = NORMS[norm].project(NORMS[norm].project(delta, 0.5) + 0.01 * other, 0.5)
        assert (NORMS["L2"].size(delta - nearer) >= nearest - 1e-6).all()


def test_l0_keeps_the_largest_changes() -> None:
    eps = 5
    delta = toys.pictures(20, low=-1, high=1)
    once = NORMS["L0"].project(delta, eps)
    kept = once != 0
    assert (kept.flatten(1).sum(1) == eps).all()
    assert torch.equal(once[kept], delta[kept])
    smallest_kept = once.abs().masked_fill(~kept, 9).flatten(1).amin(1)
    largest_lost = delta.abs().masked_fill(kept, 0).flatten(1).amax(1)
    assert (smallest_kept >= largest_lost).all()


def test_an_infinite_eps_moves_nothing(norm: str) -> None:
    delta = toys.pictures(5, low=-9, high=9)
    assert torch.equal(NORMS[norm].project(delta, math.inf), delta)


def test_the_steepest_change_has_size_1_and_reaches_the_dual_norm(norm: str) -> None:
    gradient = toys.pictures(5, low=-2, high=2)
    step = NORMS[norm].steepest(gradient)
    torch.testing.assert_close(NORMS[norm].size(step), torch.ones(5))
    dual = gradient.flatten(1).norm(p=DUALS[norm], dim=1)
    torch.testing.assert_close((gradient * step).flatten(1).sum(1), dual)


def test_a_zero_gradient_has_no_steepest_change(norm: str) -> None:
    assert torch.equal(NORMS[norm].steepest(torch.zeros(2, 1, 3, 3)), torch.zeros(2, 1, 3, 3))


def test_a_vanishing_gradient_still_has_a_direction(norm: str) -> None:
    gradient = toys.pictures(4, low=-1, high=1) * 1e-30
    torch.testing.assert_close(
        NORMS[norm].steepest(gradient), NORMS[norm].steepest(gradient * 1e30)
    )


@pytest.mark.parametrize("pixels", [10, 784, 3072])
def test_a_step_for_l1_moves_one_pixel_in_fifty_and_those_of_the_largest_gradient(
    pixels: int,
) -> None:
    gradient = 2 * Draws(0).uniform(torch.empty(6, 1, 1, pixels)) - 1
    step = NORMS["L1"].steepest(gradient)
    moved = step != 0
    assert (moved.flatten(1).sum(1) == max(1, round(0.02 * pixels))).all()
    torch.testing.assert_close(NORMS["L1"].size(step), torch.ones(6))
    least = gradient.abs().masked_fill(~moved, 9).flatten(1).amin(1)
    assert (least >= gradient.abs().masked_fill(moved, 0).flatten(1).amax(1)).all()
    assert torch.equal(step.sign()[moved], gradient.sign()[moved])


# In two dimensions the size of a uniform point has the distribution function size ** 2.
@pytest.mark.parametrize("norm", ["L1", "L2", "Linf"])
def test_points_inside_fill_the_ball(norm: str) -> None:
    like = torch.empty(4000, 1, 1, 2)
    found = NORMS[norm].inside(like, 0.5, Draws(0))
    sizes = NORMS[norm].size(found) / 0.5
    assert (sizes <= 1 + 1e-6).all()
    quantiles = (sizes.sort().values ** 2 - torch.linspace(0, 1, 4000)).abs()
    assert float(quantiles.max()) < 1.63 / 4000**0.5
    assert float(found.mean(0).abs().max()) < 0.02


@pytest.mark.parametrize("norm", ["L1", "L2", "Linf"])
def test_points_on_the_edge_have_size_eps_and_no_direction_is_preferred(norm: str) -> None:
    found = NORMS[norm].edge(torch.empty(4000, 1, 1, 2), 0.5, Draws(0))
    torch.testing.assert_close(NORMS[norm].size(found), torch.full((4000,), 0.5))
    assert float(found.mean(0).abs().max()) < 0.03


def test_random_changes_for_l0_are_black_or_white_at_as_many_places_as_eps_says() -> None:
    for draw in (NORMS["L0"].edge, NORMS["L0"].inside):
        found = draw(torch.empty(4000, 1, 1, 8), 3.0, Draws(0))
        assert (NORMS["L0"].size(found) == 3).all()
        image = torch.full_like(found, 0.5)
        # Added to an image they must reach the ends of the range, whatever it was there.
        assert set((image + found).clamp(0, 1)[found != 0].unique().tolist()) == {0.0, 1.0}
        assert float((found != 0).float().mean((0, 1, 2)).sub(3 / 8).abs().max()) < 0.03


def test_spatial_has_a_distance_and_no_operations_on_changes() -> None:
    spatial, images = NORMS["spatial"], toys.pictures(3)
    assert spatial.distance(images, images).tolist() == [0, 0, 0]
    for wrong in (
        lambda: spatial.size(images),
        lambda: spatial.project(images, 1.0),
        lambda: spatial.steepest(images),
        lambda: spatial.inside(images, 1.0, Draws(0)),
        lambda: spatial.edge(images, 1.0, Draws(0)),
    ):
        with pytest.raises(InvalidThreat, match="turned and shifted"):
            wrong()


def test_a_distance_is_the_size_of_the_change_in_float64(norm: str) -> None:
    images, others = toys.pictures(5), toys.pictures(5, purpose="others")
    found = NORMS[norm].distance(images, others)
    assert found.dtype == torch.float64
    assert torch.equal(found, NORMS[norm].size(others.double() - images.double()))
