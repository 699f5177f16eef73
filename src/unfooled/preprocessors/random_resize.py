"""Random resizing: the network never sees the image at the size at which it was attacked."""

import torch
import torch.nn.functional as F

from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images

GRADIENT = "own"
RANDOM = True


def random_resize(images: Images, *, draws: Draws, smallest: float = 0.8) -> Images:
    """All images shrunk to a random size and laid at a random place on black.

    Args:
        smallest: share of the side, above 0 to 1; the share is drawn evenly between it and 1.

    Raises:
        InvalidOption: there is no such share.

    Source: Xie et al. 2018, https://arxiv.org/abs/1711.01991, section 3 (there to larger sizes).
    """
    if not 0 < smallest <= 1:
        raise InvalidOption(f"random_resize needs 0 < smallest <= 1, not {smallest}")
    size = images.shape[-1]
    share, down, across = (
        float(draws.step(what).uniform(torch.empty(1))) for what in ("size", "down", "across")
    )
    least = max(1, round(smallest * size))
    side = least + int(share * (size - least + 1))
    top, left = int(down * (size - side + 1)), int(across * (size - side + 1))
    small = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
    return F.pad(small, (left, size - side - left, top, size - side - top))
