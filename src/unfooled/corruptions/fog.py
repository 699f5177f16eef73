"""Fog: clouds over the image, of all sizes."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unfooled.corruption import unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

# How bright the fog is, and how much smoother it becomes from one size of clouds to the next.
_SEVERITIES = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.75, 1.5), (3.0, 1.4))
_SKY = 256  # pixels; the published fog is the corner of a map so large
_LAST = 3  # halvings that are done in the corner alone, for nobody sees the rest of the sky
_MARGIN = 2**_LAST  # pixels around the corner that these get wrong


def fog(images: Images, *, severity: int, draws: Draws) -> Images:
    """A plasma fractal laid over each image, and both made darker until they fit.

    The published severity 4 is as bright as 3 (2.5) and only rougher, which moves an image no
    further; here it lies halfway between its neighbours. The sky is measured, darkest to
    brightest, before the last three halvings, which change little. MNIST-C itself holds severity 5.

    Source: MNIST-C, see `corruption.py`; the fractal is the diamond-square algorithm of Fournier,
    Fussell and Carpenter 1982, https://doi.org/10.1145/358523.358553.
    """
    bright, smoother = _SEVERITIES[severity - 1]
    white = images.amax((1, 2, 3), keepdim=True)
    foggy = images + bright * _plasma(images, smoother, draws)[:, None]
    return foggy.mul_(white / (white + bright)).clamp_(0, 1)


def _plasma(images: Images, smoother: float, draws: Draws) -> Float[Tensor, "n h w"]:
    """Clouds from 0 to 1."""
    height, width = images.shape[2:]
    halvings = max(_LAST + 1, round(math.log2(_SKY * unit(images))))
    sky = images.new_zeros(len(images), 1, 1)
    # What is drawn has the published decay as its range and as its unit, hence the square.
    swings = [smoother ** (-2 * halving) for halving in range(halvings)]
    for halving, swing in enumerate(swings[:-_LAST]):
        sky = _halved(sky, swing, draws.step(halving))
    low, high = sky.amin((1, 2), keepdim=True), sky.amax((1, 2), keepdim=True)
    points = math.ceil((max(height, width) + 2 * _MARGIN) / _MARGIN)
    sky = sky.roll((1, 1), (1, 2))[:, :points, :points]
    for halving, swing in enumerate(swings[-_LAST:], start=halvings - _LAST):
        sky = _halved(sky, swing, draws.step(halving))
    corner = sky[:, _MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
    return ((corner - low) / (high - low)).clamp_(0, 1)


def _halved(
    points: Float[Tensor, "n m m"], swing: float, draws: Draws
) -> Float[Tensor, "n twice twice"]:
    """The points with new ones between them: the mean of the four nearest, and a random change.

    What lies beyond one edge is what lies at the other.
    """

    def changed(total: Float[Tensor, "n m m"], name: str) -> Float[Tensor, "n m m"]:
        return total / 4 + draws.step(name).uniform(points).mul_(2).sub_(1).mul_(swing)

    beside, below = points + points.roll(-1, 2), points + points.roll(-1, 1)
    middles = changed(beside + beside.roll(-1, 1), "middles")
    across = changed(beside + middles + middles.roll(1, 1), "across")
    down = changed(below + middles + middles.roll(1, 2), "down")
    rows = torch.stack([points, across], dim=3).flatten(2)
    between = torch.stack([down, middles], dim=3).flatten(2)
    return torch.stack([rows, between], dim=2).flatten(1, 2)
