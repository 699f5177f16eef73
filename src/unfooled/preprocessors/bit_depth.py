"""Fewer grey levels: small changes are rounded away."""

from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images

GRADIENT = "identity"  # its own is 0 nearly everywhere
RANDOM = False


def bit_depth(images: Images, *, draws: Draws, bits: int = 1) -> Images:  # noqa: ARG001
    """Each pixel rounded to the nearest of 2^bits even levels between 0 and 1.

    Args:
        bits: 1 (black and white) to 8.

    Raises:
        InvalidOption: there are no such levels.

    Source: Xu et al. 2018, https://arxiv.org/abs/1704.01155, section III.A.
    """
    if not 1 <= bits <= 8:
        raise InvalidOption(f"bit_depth keeps 1 to 8 bits, not {bits}")
    most = 2**bits - 1
    rounded: Images = (images * most).round() / most
    return rounded
