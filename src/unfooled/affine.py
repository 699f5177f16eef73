"""Images read at places of their own: turned, leaning, resized, shifted. Black outside."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unfooled.shapes import Images


def sampled(
    images: Images, across: Float[Tensor, "..."], down: Float[Tensor, "..."], how: str
) -> Images:
    """The images read at these places, in pixels to the right of the middle and below it."""
    n, _, height, width = images.shape
    places = torch.stack(
        [
            (across * (2 / width)).expand(n, height, width),
            (down * (2 / height)).expand(n, height, width),
        ],
        dim=-1,
    )
    found = F.grid_sample(images, places, how, padding_mode="zeros", align_corners=False)
    # Weights that add up to 1 do so up to rounding.
    return found.clamp_(0, 1)


def middle(images: Images) -> tuple[Float[Tensor, "1 1 w"], Float[Tensor, "1 h 1"]]:
    """Where each column and each row stands, in pixels from the middle."""
    height, width = images.shape[2:]
    columns, rows = (torch.arange(side, device=images.device) for side in (width, height))
    return (columns - (width - 1) / 2)[None, None], (rows - (height - 1) / 2)[None, :, None]


def seen_through(
    images: Images, back: Float[Tensor, "n 2 2"], shift: Float[Tensor, "n 2"]
) -> Images:
    """The images whose pixel at place p is what stands at `back` times p, plus `shift`.

    Places are (right, down) from the middle, in pixels. Bilinear.
    """
    x, y = middle(images)
    # Row by row: a product of matrices may be rounded in another way for another batch.
    (a, b), (c, d) = ((one[:, None, None] for one in row.unbind(1)) for row in back.unbind(1))
    right, below = (one[:, None, None] for one in shift.unbind(1))
    return sampled(images, a * x + b * y + right, c * x + d * y + below, "bilinear")
