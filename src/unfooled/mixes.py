"""Transformations that mix two images and their labels: MixUp and CutMix.

The partner of an image is the one before it in the batch, the first one's the last, as in
torchvision; how much of it comes in is drawn for each image.
"""

from collections.abc import Callable
from typing import Any

import torch

from unfooled.boxes import inside
from unfooled.drawn import beta, whole
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage

Mixed = tuple[Images, Labels, PerImage]


def _mixup(made: Any, images: Images, draws: Draws) -> Mixed:
    """Each pixel a mean of two. Source: Zhang et al. 2018, arXiv 1710.09412, equation 1."""
    partner = _partner(images)
    share = beta(made.alpha, "share", images, draws)
    mixed = torch.lerp(images[partner], images, share[:, None, None, None])
    return mixed, partner, share


def _cutmix(made: Any, images: Images, draws: Draws) -> Mixed:
    """A rectangle of the partner. Source: Yun et al. 2019, arXiv 1905.04899, section 3.1.

    The rectangle's middle can be anywhere, so it may lie partly outside: the share is what is left
    of the image.
    """
    height, width = images.shape[2:]
    partner = _partner(images)
    half = (1 - beta(made.alpha, "share", images, draws)).sqrt() / 2
    row, column = whole(height, "row", images, draws), whole(width, "column", images, draws)
    tall, wide = (half * height).long(), (half * width).long()
    box = inside(images, row - tall, column - wide, row + tall, column + wide)
    mixed = torch.where(box, images[partner], images)
    return mixed, partner, 1 - box.flatten(1).to(images).mean(1)


def _partner(images: Images) -> Labels:
    return torch.arange(len(images), device=images.device).roll(1)


MIXES: dict[str, Callable[[Any, Images, Draws], Mixed]] = {"MixUp": _mixup, "CutMix": _cutmix}
