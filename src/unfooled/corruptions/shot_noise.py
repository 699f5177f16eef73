"""Shot noise: too little light, counted photon by photon."""

import torch

from unfooled.randomness import Draws
from unfooled.shapes import Images

_PHOTONS = (60, 25, 12, 5, 3)  # of a white pixel, on average


def shot_noise(images: Images, *, severity: int, draws: Draws) -> Images:
    """Each pixel a Poisson number with the pixel's brightness as mean; black stays black.

    MNIST-C itself holds severity 5.

    Source: MNIST-C, see `corruption.py`.
    """
    photons = _PHOTONS[severity - 1]
    chance = draws.uniform(images)
    rate = images * photons
    exactly = (-rate).exp_()  # the probability of just so many photons
    at_most = exactly.clone()
    counted = torch.zeros_like(images)
    # A pixel is white from `photons` of them on, so nobody counts any further.
    for number in range(1, photons + 1):
        counted += chance > at_most
        at_most += exactly.mul_(rate).div_(number)
    return counted.div_(photons).clamp_(0, 1)
