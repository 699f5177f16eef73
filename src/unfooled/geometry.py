"""Rotations and shifts of images, as a grid of which every point can be tried.

A grid point is one of 31 angles, 2 degrees apart, together with a shift by whole pixels. Its size
says how much of the largest rotation and of the largest shift it takes, whichever is more.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unfooled.shapes import Images, Mask, PerImage

_LARGEST_ANGLE = 30  # degrees
_BETWEEN = 2  # degrees from one angle of the grid to the next
# Pixels of one and the same warp agree up to this: half a level of an 8-bit file, which holds a
# rounded warp, and what float rounding differs by on any device.
_ROUNDING = 0.5 / 255 + 1e-5

Around = Float[Tensor, "n c tall wide"]  # images with a margin on every side


@dataclass(frozen=True)
class Turn:
    """All grid points of one size that turn an image by one angle.

    Attributes:
        size: 0 for the image itself, 1 for the largest rotation or shift.
        angle: in degrees, anticlockwise.
        shifts: in pixels, down and to the right.
    """

    size: float
    angle: int
    shifts: tuple[tuple[int, int], ...]


def largest_shift(side: int) -> int:
    """A tenth of the side in whole pixels, at least 1."""
    return max(1, round(side / 10))


@cache
def grid(height: int, width: int) -> tuple[Turn, ...]:
    """Every rotation and shift of images of this size, the smallest first."""
    down, right = largest_shift(height), largest_shift(width)
    points = defaultdict(list)
    for angle in range(-_LARGEST_ANGLE, _LARGEST_ANGLE + 1, _BETWEEN):
        for rows in range(-down, down + 1):
            for columns in range(-right, right + 1):
                size = max(abs(angle) / _LARGEST_ANGLE, abs(rows) / down, abs(columns) / right)
                points[size, angle].append((rows, columns))
    order = sorted(points, key=lambda point: (point[0], abs(point[1]), point[1]))
    return tuple(Turn(*point, tuple(points[point])) for point in order)


def turned(images: Images, angle: float) -> Around:
    """The images turned about their middle, with as much around them as a shift can bring in.

    Bilinear, black outside; at angle 0 the pixels are exact copies.
    """
    n, channels, height, width = images.shape
    down, right = largest_shift(height), largest_shift(width)
    if angle == 0:
        return F.pad(images, (right, right, down, down))
    tall, wide = height + 2 * down, width + 2 * right
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # From a place in the result to the place in the image; both count from -1 to 1.
    back = [[cos * wide, -sin * tall, 0.0], [sin * wide, cos * tall, 0.0]]
    theta = images.new_tensor([back]) / images.new_tensor([[width], [height]])
    places = F.affine_grid(theta, [1, 1, tall, wide], align_corners=False)
    # As channels of one image, so that the weights of the interpolation are computed once.
    stacked = images.reshape(1, n * channels, height, width)
    found = F.grid_sample(stacked, places, padding_mode="zeros", align_corners=False)
    # Weights that add up to 1 do so up to rounding.
    return found.view(n, channels, tall, wide).clamp_(0, 1)


def window(around: Around, frame: tuple[int, int], shift: tuple[int, int]) -> Images:
    """What of `turned` images stands in a frame of height and width after a shift; a view."""
    (height, width), (rows, columns) = frame, shift
    top, left = largest_shift(height) - rows, largest_shift(width) - columns
    return around[:, :, top : top + height, left : left + width]


def warp(images: Images, angle: float, shift: tuple[int, int]) -> Images:
    """The images turned about their middle, then shifted down and to the right.

    The shift, in pixels, is at most `largest_shift` of each side.
    """
    height, width = images.shape[2:]
    return window(turned(images, angle), (height, width), shift).contiguous()


def distance(images: Images, warped: Images) -> PerImage:
    """The size of the smallest grid point that makes each image into the other one.

    Infinite where none does.
    """
    height, width = images.shape[2:]
    found = torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device)
    left = torch.arange(len(images), device=images.device)
    for turn in grid(height, width):
        if not len(left):
            break
        around = turned(images[left], turn.angle)
        reached = _reached(around, warped[left], turn.shifts)
        found[left[reached]] = turn.size
        left = left[~reached]
    return found


def _reached(around: Around, wanted: Images, shifts: Sequence[tuple[int, int]]) -> Mask:
    """Whether one of the shifts makes each `turned` image into the wanted one."""
    height, width = wanted.shape[2:]
    middle = wanted[:, :, height // 2]
    reached = torch.zeros(len(wanted), dtype=torch.bool, device=wanted.device)
    for shift in shifts:
        made = window(around, (height, width), shift)
        # The row in the middle tells nearly all that differ, at a share of the time.
        close = _equal(made[:, :, height // 2], middle)
        if close.any():
            rows = close.nonzero()[:, 0]
            reached[rows] |= _equal(made[rows], wanted[rows])
    return reached


def _equal(one: Float[Tensor, "n ..."], other: Float[Tensor, "n ..."]) -> Mask:
    return ((one - other).abs() <= _ROUNDING).flatten(1).all(1)
