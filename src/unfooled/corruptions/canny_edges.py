"""Canny edges: the outlines alone."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unfooled.blur import gaussian
from unfooled.corruption import SEVERITIES, unit
from unfooled.randomness import Draws
from unfooled.shapes import Images

_SIGMA = 1.0  # of the blur before, in pixels
_LOW, _HIGH = 0.1, 0.2  # thresholds of the length of the Sobel gradient
Map = Bool[Tensor, "n 1 h w"]
# The neighbour ahead, (down, right), when a gradient points so many eighths of a turn.
_AHEAD = ((0, 1), (1, 1), (1, 0), (1, -1))


def canny_edges(
    images: Images,
    *,
    severity: int,
    draws: Draws,  # noqa: ARG001 - the same signature as every corruption
) -> Images:
    """The images fading into white edges on black, by a fifth with each severity; without chance.

    Severity 5, the edges alone, is the only published one; the mixtures are ours. Edges of coloured
    images are those of the channels' mean. A gradient is compared along the nearest of eight
    directions, where the published code interpolates.

    Source: MNIST-C, see `corruption.py`; the edges are those of Canny 1986,
    https://doi.org/10.1109/TPAMI.1986.4767851.
    """
    edges = _edges(gaussian(images.mean(1, keepdim=True), _SIGMA * unit(images)))
    return images.lerp(edges.to(images.dtype).expand_as(images), severity / SEVERITIES[-1])


def _edges(images: Float[Tensor, "n 1 h w"]) -> Map:
    across, down = _sobel(images)
    length = (across.square() + down.square()).sqrt_()
    eighth = torch.atan2(down, across).mul_(4 / math.pi).round_().remainder_(4)
    around = F.pad(length, (1, 1, 1, 1))
    crest = torch.zeros_like(length, dtype=torch.bool)
    for place, (row, column) in enumerate(_AHEAD):
        ahead, behind = _at(around, row, column), _at(around, -row, -column)
        # Of two that are equal, one.
        crest |= (eighth == place) & (length >= ahead) & (length > behind)
    possible, edges = crest & (length > _LOW), crest & (length > _HIGH)
    while True:  # an edge goes on over lower crests
        more = possible & (F.max_pool2d(edges.to(images.dtype), 3, stride=1, padding=1) > 0)
        if torch.equal(more, edges):
            return edges
        edges = more


def _sobel(images: Float[Tensor, "n 1 h w"]) -> tuple[Tensor, Tensor]:
    """The gradient to the right and down, eight times what a pixel differs from the next."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 2:] - padded[..., :-2]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    return (
        across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :],
        down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:],
    )


def _at(around: Float[Tensor, "n 1 tall wide"], row: int, column: int) -> Tensor:
    """What is so many rows down and columns to the right of each pixel."""
    height, width = around.shape[2] - 2, around.shape[3] - 2
    return around[:, :, 1 + row : 1 + row + height, 1 + column : 1 + column + width]
