"""What a transformation of a batch draws, one for each image, and what a batched form is.

A batched form takes torchvision's transformation with its parameters set, the images, and `Draws`.
Every number belongs to the image's id, not to its place in a batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage

Form = Callable[[Any, Images, Draws], Images]


def several(
    bounds: Sequence[float], count: int, name: str, images: Images, draws: Draws
) -> Float[Tensor, "n k"]:
    """So many uniform numbers for each image."""
    low, high = bounds
    return low + (high - low) * draws.step(name).uniform(images.new_empty(len(images), count))


def between(bounds: Sequence[float], name: str, images: Images, draws: Draws) -> PerImage:
    """One uniform number for each image."""
    return several(bounds, 1, name, images, draws)[:, 0]


def whole(choices: int | Labels, name: str, images: Images, draws: Draws) -> Labels:
    """One whole number for each image, from 0 up to `choices`, which itself is not drawn."""
    return (between((0, 1), name, images, draws) * choices).long()


def beta(alpha: float, name: str, images: Images, draws: Draws) -> PerImage:
    """One number of the distribution Beta(alpha, alpha) for each image, by its inverse."""
    from scipy.special import betaincinv

    uniform = between((0, 1), name, images, draws).double().cpu().numpy()
    return torch.from_numpy(betaincinv(alpha, alpha, uniform)).to(images)


def dirichlet(
    alpha: float, count: int, name: str, images: Images, draws: Draws
) -> Float[Tensor, "n k"]:
    """So many shares of 1 for each image, of the symmetric Dirichlet distribution.

    Gamma-distributed numbers by the inverse of their distribution, divided by their sum.
    """
    from scipy.special import gammaincinv

    uniform = several((0, 1), count, name, images, draws).double().cpu().numpy()
    # For a tiny alpha all of them can underflow; they are then taken as equal.
    parts = np.maximum(gammaincinv(alpha, uniform), 1e-300)
    return torch.from_numpy(parts / parts.sum(axis=1, keepdims=True)).to(images)


def sometimes(form: Form) -> Form:
    """The form, for the share `made.p` of the images; the others stay as they are."""

    def apply(made: Any, images: Images, draws: Draws) -> Images:
        chosen = between((0, 1), "whether", images, draws) < made.p
        result = images.clone()
        if bool(chosen.any()):
            result[chosen] = form(made, images[chosen], draws.keep(chosen))
        return result

    return apply


def alike(made: Any, images: Images, draws: Draws) -> Images:  # noqa: ARG001
    """Torchvision's own change, made to all images alike: for those that draw nothing."""
    return made.transform(images, made.make_params([images]))  # type: ignore[no-any-return]
