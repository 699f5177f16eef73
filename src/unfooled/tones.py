"""Transformations of pixel values: torchvision's, for a whole batch with one draw for each image.

Every change takes images and a number for each of them. On grey images a change of colour changes
nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from math import tau
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unfooled.drawn import Form, alike, between, several, sometimes
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage

Change = Callable[[Images, PerImage], Images]

_LUMA = (0.2989, 0.587, 0.114)  # how bright red, green and blue look


def blurred(images: Images, size: Sequence[int], sigma: tuple[Tensor, Tensor]) -> Images:
    """Images blurred by a Gaussian, mirrored at their border.

    Args:
        size: of the kernel, across and down; odd. It may be larger than the image.
        sigma: across and down, one for each image or one for all.
    """
    height, width = images.shape[2:]
    across = _smoothing(width, size[0], sigma[0])
    down = _smoothing(height, size[1], sigma[1])
    return down[:, None] @ images @ across[:, None].mT


def _smoothing(side: int, size: int, sigma: Float[Tensor, " m"]) -> Float[Tensor, "m s s"]:
    """The blur of a line of so many pixels as a matrix."""
    steps = torch.arange(size, device=sigma.device) - size // 2
    # sigma 0 stands for no blur.
    weights = (-0.5 * (steps / sigma.clamp(min=1e-6)[:, None]) ** 2).softmax(1)
    pixels = torch.arange(side, device=sigma.device)
    period = max(2 * (side - 1), 1)
    met = (pixels[:, None] + steps) % period
    mirrored = torch.where(met < side, met, period - met)
    return torch.einsum("mk,iks->mis", weights, F.one_hot(mirrored, side).to(sigma))


def brightness(images: Images, factor: PerImage) -> Images:
    """Black at 0, as they are at 1."""
    return (images * factor[:, None, None, None]).clamp_(0, 1)


def contrast(images: Images, factor: PerImage) -> Images:
    """All of the mean grey at 0, as they are at 1."""
    return _away(images, _grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(images: Images, factor: PerImage) -> Images:
    """Grey at 0, as they are at 1."""
    return images if images.shape[1] == 1 else _away(images, _grey(images), factor)


def hue(images: Images, turn: PerImage) -> Images:
    """The colours turned by a share of the colour wheel, -0.5 to 0.5."""
    from kornia.enhance import adjust_hue

    return images if images.shape[1] == 1 else adjust_hue(images, turn * tau)


def sharpness(images: Images, factor: PerImage) -> Images:
    """Blurred at 0, as they are at 1, sharpened above; the outermost pixels stay."""
    if min(images.shape[2:]) <= 2:
        return images
    core = images[:, :, 1:-1, 1:-1]
    # 1 for each of the nine pixels and 4 more for the one in the middle
    smooth = (9 * F.avg_pool2d(images, 3, stride=1) + 4 * core) / 13
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = _away(core, smooth, factor)
    return result


def posterized(images: Images, bits: PerImage) -> Images:
    """As many levels as so many bits tell apart, each pixel at the level below it."""
    levels = bits.exp2().round()[:, None, None, None]
    return torch.minimum((images * levels).floor(), levels - 1) / levels


def solarized(images: Images, threshold: PerImage) -> Images:
    """Inverted from the threshold upwards."""
    return torch.where(images >= threshold[:, None, None, None], 1 - images, images)


def autocontrasted(images: Images, _: PerImage) -> Images:
    """From black to white in each channel."""
    from torchvision.transforms.v2 import functional

    return functional.autocontrast(images)  # type: ignore[no-any-return]


def equalized(images: Images, _: PerImage) -> Images:
    """All of 256 grey values as frequent as each other in each channel, as far as can be."""
    from torchvision.transforms.v2 import functional

    return functional.equalize(images)  # type: ignore[no-any-return]


def _grey(images: Images) -> Float[Tensor, "n 1 h w"]:
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)


def _away(images: Images, other: Float[Tensor, "n ..."], factor: PerImage) -> Images:
    """The other images at 0, the images at 1, further away from the others above."""
    share = factor[:, None, None, None]
    return (images * share + other * (1 - share)).clamp_(0, 1)


def each_its_own(
    images: Images, which: Labels, changes: Mapping[int, tuple[Change, PerImage]]
) -> Images:
    """Each image after the change that `which` names, by its own number; the others stay."""
    result = images.clone()
    for place, (change, by) in changes.items():
        rows = (which == place).nonzero()[:, 0]
        if len(rows):
            result[rows] = change(images[rows], by[rows])
    return result


_JITTER = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}


def _jitter(made: Any, images: Images, draws: Draws) -> Images:
    names = [name for name in _JITTER if getattr(made, name) is not None]
    changes = {
        place: (_JITTER[name], between(getattr(made, name), name, images, draws))
        for place, name in enumerate(names)
    }
    # As in torchvision each image has an order of its own.
    order = several((0, 1), len(names), "order", images, draws).argsort(1)
    for which in order.unbind(1):
        images = each_its_own(images, which, changes)
    return images


def _blur(made: Any, images: Images, draws: Draws) -> Images:
    sigma = between(made.sigma, "sigma", images, draws)
    return blurred(images, made.kernel_size, (sigma, sigma))


def _noise(made: Any, images: Images, draws: Draws) -> Images:
    noisy = images + draws.normal(images).mul_(made.sigma).add_(made.mean)
    return noisy.clamp_(0, 1) if made.clip else noisy


BATCHED: dict[str, Form] = {
    "ColorJitter": _jitter,
    "GaussianBlur": _blur,
    "GaussianNoise": _noise,
    **dict.fromkeys(
        (
            "RandomAdjustSharpness",
            "RandomAutocontrast",
            "RandomEqualize",
            "RandomGrayscale",
            "RandomInvert",
            "RandomPosterize",
            "RandomSolarize",
        ),
        sometimes(alike),
    ),
}
