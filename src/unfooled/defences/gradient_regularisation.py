"""Gradient regularisation: a loss that hardly changes when a pixel does."""

import torch
from torch import nn

from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage


def gradient_regularisation(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,  # noqa: ARG001 - the same signature as every defence
    progress: float,  # noqa: ARG001
    weight: float = 10.0,
) -> PerImage:
    """Cross-entropy, and the squared length (L2) of its gradient by the pixels.

    Args:
        weight: of the squared length, lambda in the paper.

    Source: Ross and Doshi-Velez 2018, https://arxiv.org/abs/1711.09404, section 3.
    """
    leaf = images.detach().requires_grad_()
    losses = cross_entropy(model(leaf), labels)
    (by_pixel,) = torch.autograd.grad(losses.sum(), leaf, create_graph=True)
    found: PerImage = losses + weight * by_pixel.flatten(1).square().sum(1)
    return found
