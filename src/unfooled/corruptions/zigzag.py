"""Zigzags across the image."""

from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.strokes import between, drawn, paper

_LEFT, _RIGHT = 2, 25  # the columns that it begins and ends at
_LOWEST = 26  # row that it may begin at
_SLOPE = 5  # rows that it climbs or falls at most
_TALL = 2.0  # of a tooth, which is twice as wide


def zigzag(images: Images, *, severity: int, draws: Draws) -> Images:
    """As many white zigzags as the severity, each about a line that is nearly level.

    One zigzag is published; that there may be more of them is ours.

    Source: MNIST-C, see `corruption.py`.
    """
    rows, columns = paper(images)
    for line in range(severity):
        chance = draws.step(line).uniform(images.new_empty(len(images), 2))
        start, climb = between(0, _LOWEST, chance[:, 0]), between(-_SLOPE, _SLOPE, chance[:, 1])
        angle = (climb / (_RIGHT - _LEFT)).atan()
        along = (columns - _LEFT) * angle.cos() + (rows - start) * angle.sin()
        aside = (rows - start) * angle.cos() - (columns - _LEFT) * angle.sin()
        teeth = _TALL - ((along + _TALL).remainder(4 * _TALL) - 2 * _TALL).abs_()
        outside = (along < 0) | (along > (_RIGHT - _LEFT) / angle.cos())
        images = drawn(images, (aside - teeth).abs_().masked_fill_(outside, float("inf")))
    return images
