"""The shortest way from a point to a plane inside the box [0, 1], measured by a norm.

A linear classifier changes its mind at the plane {point: weight . point + offset = 0}. On the way
there each pixel moves in one direction only, the one that leads towards the plane, and as far as
the box allows. What the norms differ in is how they spread the way over the pixels: Linf moves all
equally, L2 in proportion to their weights, L1 those of the largest weights first.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unfooled.shapes import PerImage

Points = Float[Tensor, "n d"]

_ROUNDS = 50  # of Newton's method; 3 to 6 are usual
_REST = 1e-6  # share of the way that rounding may leave
_FEW = 64  # pixels that L1 ranks at first


def to_plane(norm: str, points: Points, weights: Points, values: PerImage) -> Points:
    """The shortest change that leads each point to its plane, and never out of the box.

    Where the box does not reach the plane it is the change that comes closest. Pixels without
    weight stay.

    Args:
        norm: "Linf", "L2" or "L1".
        points: in [0, 1].
        weights: of the planes.
        values: weight . point + offset, which is 0 on the plane.

    Source: the task is that of Croce and Hein 2020, https://arxiv.org/abs/1907.02044, section 2.2.
    """
    # Scaled to a largest weight of 1: squares of vanishing gradients underflow in float32.
    largest = weights.abs().amax(1).clamp_min(torch.finfo(weights.dtype).tiny)
    towards = weights * (-values.sign() / largest)[:, None]
    up = torch.gt(towards, 0, out=torch.empty_like(points))
    room = up.sub_(points).abs_()  # 1 - point where it rises, point where it falls
    return _SIZES[norm](towards, room, values.abs() / largest)


def _linf(towards: Points, room: Points, way: PerImage) -> Points:
    slopes = towards.abs()
    level = _level(room, slopes, slopes * room, way)
    return torch.minimum(room, level[:, None]).mul_(towards.sign())


def _l2(towards: Points, room: Points, way: PerImage) -> Points:
    slopes = towards.abs()
    level = _level(room / slopes, slopes.square(), slopes * room, way)
    return torch.minimum(room, slopes.mul_(level[:, None])).mul_(towards.sign())


def _level(limits: Points, rates: Points, whole: Points, way: PerImage) -> PerImage:
    """The level at which the sum of rates * min(level, limits) is the way.

    That sum is concave in the level, so that Newton's method climbs from 0 and never beyond the
    answer, and meets it once it knows which pixels have reached their limits. `whole` is rates *
    limits: the most that each pixel contributes.
    """
    reached = whole.sum(1) > way
    level = torch.where(reached, way / rates.sum(1), torch.finfo(way.dtype).max)
    left = reached.nonzero()[:, 0]
    limits, rates, whole, way = limits[left], rates[left], whole[left], way[left]
    for _ in range(_ROUNDS):
        if not len(left):
            break
        at = level[left]
        # Comparisons written as numbers: several times as quick as masks.
        free = torch.gt(limits, at[:, None], out=torch.empty_like(limits))
        slope = free.mul_(rates).sum(1)
        done = torch.le(limits, at[:, None], out=free).mul_(whole).sum(1)
        higher = torch.where(slope > 0, (way - done) / slope, at)
        # A row stands once it has arrived, whatever the others still need.
        climbs = higher > at * (1 + _REST)
        level[left] = torch.where(climbs, higher, at)
        if 2 * int(climbs.sum()) <= len(left):
            left, limits, rates, whole, way = (
                rows[climbs] for rows in (left, limits, rates, whole, way)
            )
    return level


def _l1(towards: Points, room: Points, way: PerImage) -> Points:
    """The pixels of the largest weights moved to the border of the box, the last one in part."""
    slopes = towards.abs()
    size = room.clone()
    left = ((slopes * room).sum(1) > way).nonzero()[:, 0]
    count, tiny = _FEW, torch.finfo(slopes.dtype).tiny
    while len(left):
        count = min(count, room.shape[1])
        ranked, places = slopes[left].topk(count, dim=1)
        moves = room[left].gather(1, places)
        gained = F.pad((ranked * moves).cumsum(1), (1, 0))
        still = (way[left, None] - gained[:, :-1]).clamp_min_(0)
        moves = torch.minimum(moves, still / ranked.clamp_min(tiny))
        enough = (gained[:, -1] >= way[left]) | (count == room.shape[1])
        size[left] = torch.zeros_like(size[left]).scatter_(1, places, moves)
        left, count = left[~enough], 4 * count
    return size * towards.sign()


_SIZES = {"Linf": _linf, "L2": _l2, "L1": _l1}
