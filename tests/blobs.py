"""Images for the tests of transformations, and what their draws are held against."""

from typing import Any

import numpy as np
import torch
from scipy import stats

from unfooled import transform
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.transform import Transform

ENOUGH = 0.001  # a seeded sample below this p would be no sample of that distribution


def blobs(n: int = 8, channels: int = 1, size: int = 28) -> Images:
    """Smooth, so that interpolation has something to interpolate."""
    noise = Draws(0, "blobs").uniform(torch.empty(n, channels, 7, 7))
    return torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear")


def framed(n: int = 8, channels: int = 1) -> Images:
    """Blobs with black around them, which stays black when they are moved a little."""
    images = torch.zeros(n, channels, 28, 28)
    images[:, :, 6:-6, 6:-6] = blobs(n, channels)[:, :, 6:-6, 6:-6]
    return images


def find(name: str, **options: Any) -> Transform:
    """For grey images of 28 x 28 pixels."""
    return transform.find(name, options, channels=1, size=28)


def uniform(values: np.ndarray, low: float, high: float) -> float:
    """The p of a test whether these are uniform between two bounds."""
    assert low <= values.min() < values.max() <= high
    return float(stats.kstest(values, "uniform", args=(low, high - low)).pvalue)


def agree(ours: Images, theirs: Images, interpolation: str) -> None:
    """Equal, but for pixels that lie halfway between two others where the nearest is taken."""
    far = (ours - theirs).abs() > 1e-4
    assert float(far.float().mean()) <= (0.0 if interpolation == "bilinear" else 0.01)
