"""A Gaussian blur that takes an image to the same bits in every batch."""

import math

import torch.nn.functional as F

from unfooled.shapes import Images

_REACH = 4  # standard deviations, beyond which a Gaussian is taken to be 0


def gaussian(images: Images, sigma: float) -> Images:
    """The images blurred by a Gaussian of `sigma` pixels; their edges go on outside."""
    reach = math.ceil(_REACH * sigma)
    weights = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(-reach, reach + 1)]
    total = sum(weights)
    for axis, margin in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = F.pad(images, margin, mode="replicate")
        side = images.shape[axis]
        images = images.new_zeros(images.shape)
        # A convolution by torch may add in another order when the batch has another size.
        for place, weight in enumerate(weights):
            images.add_(padded.narrow(axis, place, side), alpha=weight / total)
    return images
