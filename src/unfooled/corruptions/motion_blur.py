"""Motion blur: the hand moved."""

import math

import torch

from unfooled.corruption import unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

_SEVERITIES = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))  # radius and sigma, in pixels
_STEEPEST = math.pi / 4  # either way from level


def motion_blur(images: Images, *, severity: int, draws: Draws) -> Images:
    """Every pixel trailing to one side, along a line of its image's own slope up to 45 degrees.

    The trail is half a Gaussian, twice the radius long, and goes in steps of whole pixels, as
    ImageMagick's does, which made the published images. MNIST-C itself holds severity 1.

    Source: MNIST-C, see `corruption.py`.
    """
    radius, sigma = (pixels * unit(images) for pixels in _SEVERITIES[severity - 1])
    steps = range(2 * math.ceil(radius) + 1)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in steps]
    angle = draws.uniform(images[:, 0, 0, 0]).mul_(2).sub_(1).mul_(_STEEPEST)
    across, down = angle.cos(), angle.sin()
    channels, height, width = images.shape[1:]
    rows = torch.arange(height, device=images.device)[:, None]
    columns = torch.arange(width, device=images.device)
    pixels = images.flatten(2)
    blurred = torch.zeros_like(pixels)
    for step, weight in zip(steps, weights, strict=True):
        row = (rows + (down * step).round().long()[:, None, None]).clamp_(0, height - 1)
        column = (columns + (across * step).round().long()[:, None, None]).clamp_(0, width - 1)
        places = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
        blurred.add_(pixels.gather(2, places), alpha=weight / sum(weights))
    return blurred.view_as(images).clamp_(0, 1)
