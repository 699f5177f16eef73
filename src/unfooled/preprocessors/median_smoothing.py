"""Median smoothing: single pixels that stick out are levelled."""

import torch.nn.functional as F

from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images

GRADIENT = "own"  # that of the pixel which is the median
RANDOM = False


def median_smoothing(images: Images, *, draws: Draws, side: int = 3) -> Images:  # noqa: ARG001
    """Each pixel as the median of the square around it; the border is mirrored.

    Args:
        side: of the square, in pixels, odd, and less than twice the image's.

    Raises:
        InvalidOption: there is no such square.

    Source: Xu et al. 2018, https://arxiv.org/abs/1704.01155, section III.B.
    """
    size = images.shape[-1]
    if side < 1 or side % 2 == 0 or side // 2 >= size:
        raise InvalidOption(f"median_smoothing needs an odd side below {2 * size}, not {side}")
    padded = F.pad(images, [side // 2] * 4, mode="reflect")
    squares = padded.unfold(2, side, 1).unfold(3, side, 1)
    median: Images = squares.flatten(4).median(-1).values
    return median
