"""Dotted lines across the image."""

from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.strokes import between, drawn, paper

_RIGHT = 27  # the last column
_LOWEST = 26  # row that a line may begin or end at
_PERIOD = 4  # columns from one dot to the next; half of it is the dot


def dotted_line(images: Images, *, severity: int, draws: Draws) -> Images:
    """As many white dotted lines as the severity, each from the left edge to the right one.

    One line is published; that there may be more of them is ours.

    Source: MNIST-C, see `corruption.py`.
    """
    rows, columns = paper(images)
    gap = (columns + 0.5).remainder(_PERIOD) < _PERIOD / 2
    for line in range(severity):
        chance = draws.step(line).uniform(images.new_empty(len(images), 2))
        start, end = (between(0, _LOWEST, one) for one in chance.unbind(1))
        distance = (start + (end - start) * columns / _RIGHT - rows).abs_()
        images = drawn(images, distance.masked_fill_(gap, float("inf")))
    return images
