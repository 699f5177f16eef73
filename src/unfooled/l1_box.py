"""The exact projection onto the changes of an image that an L1 ball and the box of pixels allow."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unfooled.shapes import Images, PerImage

Pixels = Float[Tensor, "n d"]

_ROUNDS = 60  # far more than are ever needed; 5 to 8 are
_CLOSE = 5e-7  # how much less than eps is good enough, as a share of it


def project(delta: Images, images: Images, eps: float) -> Images:
    """Each change moved to the nearest of L1 size at most eps that keeps the pixels in [0, 1].

    First cut to the ball and then to the box, a change would be shorter than eps: what the box cuts
    off could have been spent elsewhere. The nearest allowed change is clip(|delta| - cut, 0, room)
    with the sign of delta, where room is what a pixel has left in that direction, and the cut the
    smallest number with which the size is at most eps. It is found by Newton's method: the size
    falls with the cut along straight pieces.

    Source: Croce and Hein 2021, https://arxiv.org/abs/2103.01208, proposition 2.1.
    """
    sizes = delta.abs().flatten(1)
    room = torch.where(delta > 0, 1 - images, images).flatten(1)
    # Below eps by what rounding image + change, and adding up the changes, may add.
    radius = max(0.0, eps * (1 - 2 * _CLOSE) - 6e-8 * math.sqrt(sizes.shape[1]))
    long = (torch.minimum(sizes, room).sum(1) > radius).nonzero()[:, 0]
    if len(long):
        cut = sizes.new_zeros(len(sizes), 1)
        cut[long, 0] = _cuts(sizes[long], room[long], radius)
        sizes.sub_(cut).clamp_min_(0)
    return torch.minimum(sizes, room, out=sizes).view(delta.shape).mul_(delta.sign())


def _cuts(sizes: Pixels, room: Pixels, radius: float) -> PerImage:
    """By how much to shorten each pixel's change so that together they are as large as allowed.

    A row leaves when its cut is found, so that no other row's search changes it.
    """
    low = sizes.new_zeros(len(sizes))
    high = sizes.amax(1)
    result = high.clone()
    rows = torch.arange(len(sizes), device=sizes.device)
    cut = low
    for _ in range(_ROUNDS):
        over, slope = _over(sizes, room, cut, radius)
        low, high = torch.where(over > 0, cut, low), torch.where(over > 0, high, cut)
        result[rows] = high
        middle = (low + high) / 2
        off = (over > 0) | (over < -_CLOSE * radius)
        going = (off & (middle > low) & (middle < high)).nonzero()[:, 0]
        if not len(going):
            break
        step = cut + over / slope
        cut = torch.where((step > low) & (step < high), step, middle)[going]
        rows, low, high = rows[going], low[going], high[going]
        if len(going) < len(sizes):
            sizes, room = sizes[going], room[going]
    return result


def _over(sizes: Pixels, room: Pixels, cut: PerImage, radius: float) -> tuple[PerImage, PerImage]:
    """By how much the changes are too large together with this cut, and how fast that falls.

    A change shrinks with the cut that is neither 0 nor at the end of its pixel's range.
    """
    left = sizes - cut[:, None]
    capped = torch.minimum(left.clamp_min_(0), room)
    over = capped.sum(1).sub_(radius)
    # Signs of 0 and 1 add up several times as fast as masks do.
    held = torch.sub(left, capped, out=capped).sign_().sum(1)
    return over, left.sign_().sum(1).sub_(held)
