import math

import pytest
import torch
import toys

from unfooled.errors import InvalidThreat
from unfooled.geometry import distance, grid, largest_shift, warp
from unfooled.threat import Threat


def test_a_shift_copies_pixels_exactly_and_brings_in_black() -> None:
    images = toys.pictures(3)
    moved = warp(images, 0, (1, -1))
    assert torch.equal(moved[:, :, 1:, :-1], images[:, :, :-1, 1:])
    assert (moved[:, :, 0] == 0).all()
    assert (moved[:, :, :, -1] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (12, 20)])
def test_half_a_turn_is_both_mirrors(height: int, width: int) -> None:
    images = toys.pictures(1).repeat(1, 2, 3, 3)[:, :, :height, :width]
    torch.testing.assert_close(warp(images, 180, (0, 0)), images.flip(2, 3), atol=1e-5, rtol=0)


def test_a_positive_angle_turns_anticlockwise() -> None:
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 4, 7] = 1  # to the right of the middle
    assert float(warp(images, 90, (0, 0))[0, 0, 1, 4]) == pytest.approx(1, abs=1e-5)


def test_what_is_turned_out_of_the_frame_can_be_shifted_back_in() -> None:
    images = torch.ones(1, 1, 20, 20)
    shifted = warp(images, 30, (2, 2))
    late = torch.zeros_like(images)
    late[:, :, 2:, 2:] = warp(images, 30, (0, 0))[:, :, :-2, :-2]
    assert (shifted >= late - 1e-6).all()
    assert (shifted > late + 0.5).any()


def test_images_of_one_batch_do_not_meet() -> None:
    images = toys.pictures(5).repeat(1, 3, 1, 1)
    images[:, 1] /= 2
    together = warp(images, 14, (1, 0))
    for image, turned in zip(images, together, strict=True):
        torch.testing.assert_close(warp(image[None], 14, (1, 0))[0], turned)


def test_the_grid_holds_every_angle_with_every_shift_the_smallest_first() -> None:
    assert [largest_shift(side) for side in (3, 8, 28, 32)] == [1, 1, 3, 3]
    turns = grid(28, 28)
    points = [(turn.angle, *shift) for turn in turns for shift in turn.shifts]
    assert len(points) == len(set(points)) == 31 * 7 * 7
    assert points[0] == (0, 0, 0)
    assert [turn.size for turn in turns] == sorted(turn.size for turn in turns)


def test_the_distance_of_a_warp_is_its_size_in_the_grid() -> None:
    images = toys.pictures(31)
    turns = grid(8, 8)
    for index in range(0, len(turns), 7):
        turn = turns[index]
        for shift in turn.shifts[:2]:
            warped = warp(images, turn.angle, shift)
            expected = torch.full((31,), turn.size, dtype=torch.float64)
            assert torch.equal(distance(images, warped), expected)
            assert torch.equal(distance(images.double(), warped.double()), expected)


def test_what_no_warp_makes_is_infinitely_far_and_never_allowed() -> None:
    images = toys.pictures(4)
    other = images.clone()
    other[0, 0, 0, 0] = 1 - other[0, 0, 0, 0].round()
    other[1] = warp(images[1:2], 3, (0, 0))[0]
    other[2, 0, 4, 4] = math.nan
    assert distance(images, other).tolist() == [math.inf, math.inf, math.inf, 0]
    threat = Threat("spatial", math.inf)
    assert threat.allows(images, other).tolist() == [False, False, False, True]


def test_what_moves_pixels_does_not_work_under_spatial() -> None:
    images = toys.pictures(2)
    with pytest.raises(InvalidThreat, match="turned and shifted, not a change of its pixels"):
        Threat("spatial", 1.0).project(images, images)
    with pytest.raises(InvalidThreat, match="turned and shifted"):
        Threat("spatial", 1.0).steepest(images)
