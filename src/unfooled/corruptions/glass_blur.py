"""Glass blur: seen through frosted glass."""

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from unfooled.blur import gaussian
from unfooled.corruption import unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

# Sigma of the blur, how far a pixel goes to either side (both in pixels), and how many times.
_SEVERITIES = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))


def glass_blur(images: Images, *, severity: int, draws: Draws) -> Images:
    """Blurred, half of the pixels swapped with one nearby, and blurred again.

    The published code swaps along the rows, not within so many pixels of the edge, and not as far
    down and to the right as up and to the left. Here every pixel takes part, in an order in which
    many swaps at once do not meet, and all directions are alike. MNIST-C itself holds severity 1.

    Source: MNIST-C, see `corruption.py`.
    """
    sigma, far, times = _SEVERITIES[severity - 1]
    length = unit(images)
    n, channels, height, width = images.shape
    order = torch.arange(height * width, device=images.device).repeat(n, 1)
    for time in range(times):
        _swap(order, images, far, draws.step(time))
    pixels = gaussian(images, sigma * length).flatten(2)
    swapped = pixels.gather(2, order[:, None].expand(-1, channels, -1)).view_as(images)
    return gaussian(swapped, sigma * length).clamp_(0, 1)


def _swap(order: Int64[Tensor, "n hw"], images: Images, far: int, draws: Draws) -> None:
    """Swaps half of the places with one up to `far` pixels of 28 x 28 away; in place."""
    height, width = images.shape[2:]
    length = unit(images)
    reach = math.ceil(far * length)
    like = images[:, 0]
    rows = torch.arange(height, device=images.device)[:, None]
    columns = torch.arange(width, device=images.device)
    moves = []
    for way in ("down", "right"):
        real = (2 * draws.step(way).uniform(like) - 1) * (far + 0.5)
        whole = real.round()
        # The rest is where within its pixel a place is: of a large pixel, few leave it.
        moved = (whole * length + (real - whole)).round_().long()
        moves.append(moved.clamp_(-reach, reach))  # for a chance that rounds to 1
    down, right = moves
    other = (rows + down).clamp_(0, height - 1) * width + (columns + right).clamp_(0, width - 1)
    places = rows * width + columns
    other = torch.where(draws.step("half").uniform(like) < 0.5, other, places)
    step = 2 * reach + 1  # so far apart, two swaps have no pixel in common
    for top in range(min(step, height)):
        for left in range(min(step, width)):
            mine = places[top::step, left::step].flatten()
            yours = other[:, top::step, left::step].flatten(1)
            found = order[:, mine]
            order[:, mine] = order.gather(1, yours)
            order.scatter_(1, yours, found)
