"""Spatter: blots of mud."""

import torch
import torch.nn.functional as F

from unfooled.blur import gaussian
from unfooled.corruption import fine, unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

# Mean and standard deviation of the noise that the blots are the peaks of, sigma of its blur, how
# high a peak is, and sigma of the blur of the blots.
_SEVERITIES = (
    (0.65, 0.3, 4.0, 0.69, 0.6),
    (0.65, 0.3, 1.0, 0.65, 1.5),
    (0.65, 0.3, 3.0, 0.68, 0.6),
    (0.67, 0.4, 1.0, 0.65, 1.5),
    (0.65, 0.3, 2.0, 0.68, 0.5),
)
_MUD = 63 / 255
_THIN = 0.8  # less of a blot than this is nothing


def spatter(images: Images, *, severity: int, draws: Draws) -> Images:
    """Dark grey blots over the images.

    In the published order (here 1, 3, 5, 2, 4) the last two, meant for water on photographs, cover
    less of an image than the third; here each severity moves an image further than the one before.
    MNIST-C itself holds severity 2, there called 4.

    Source: MNIST-C, see `corruption.py`.
    """
    mean, deviation, sigma, peak, soft = _SEVERITIES[severity - 1]
    n, _, height, width = images.shape
    dense = fine(images)
    length = unit(images) * dense
    # The blur evens out the more the more pixels it covers, so there has to be more to even out.
    noise = draws.normal(images.new_empty(n, 1, height * dense, width * dense))
    noise = noise.to(images.dtype).mul_(deviation * length)
    wet = gaussian(noise, sigma * length) > peak - mean
    blots = gaussian(wet.to(images.dtype), soft * length)
    mud = F.avg_pool2d(torch.where(blots < _THIN, 0.0, blots), dense).clamp_(max=1)
    return images * (1 - mud) + _MUD * mud
