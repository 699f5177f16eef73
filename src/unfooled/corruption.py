"""What a corruption is: a common damage of images in five severities, which no attacker chose.

Every file in `corruptions/` holds a function of its own name:

    def name(images, *, severity, draws) -> Images

It takes float images in [0, 1] to the same shape, type and range, at a severity from 1 (mild) to 5
(hard). Its chance belongs to an image's id, so that an image is damaged in the same way in every
batch.

The fifteen are those of MNIST-C, made anew. Their constants are those of its published code where
it has five of them; it knows one severity of `stripe`, `dotted_line`, `zigzag` and `canny_edges`,
and these say what they made of it. Lengths are meant for 28 x 28 pixels and grow and shrink with
the images (`unit`); in far fewer pixels, neighbouring severities may come to the same. Only grey
images are in MNIST-C: noise meets every channel by itself, and everything else all channels of a
pixel alike.

Source: Mu and Gilmer 2019, "MNIST-C: A robustness benchmark for computer vision",
https://arxiv.org/abs/1906.02337; constants from corruptions.py in
https://github.com/google-research/mnist-c, whose default severities are taken to be those that
MNIST-C itself holds. Noise, blur, brightness, fog and spatter go back to Hendrycks and Dietterich
2019, https://arxiv.org/abs/1903.12261.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unfooled import catalog, memory
from unfooled.errors import InvalidOption, InvalidTransform, UnfooledError
from unfooled.randomness import Draws
from unfooled.shapes import Images

SEVERITIES = (1, 2, 3, 4, 5)
_SIDE = 28  # pixels of the images that the published lengths are meant for


@dataclass(frozen=True)
class Corruption:
    """A corruption by its name.

    Attributes:
        name: as users write it.
        function: see this file's docstring.
    """

    name: str
    function: Callable[..., Images]

    def apply(self, images: Images, severity: int, *, draws: Draws) -> Images:
        """The images as they are after the damage.

        Raises:
            InvalidOption: the severity is no whole number from 1 to 5.
            InvalidTransform: the result has another shape or type, is not finite, or leaves [0, 1].
        """
        if type(severity) is not int or severity not in SEVERITIES:
            raise InvalidOption(
                f"{self.name}: severity must be a whole number from {SEVERITIES[0]} to "
                f"{SEVERITIES[-1]}, not {severity!r}"
            )
        if not len(images):
            return images.clone()

        def one(part: slice) -> Images:
            own = torch.arange(part.start, part.stop, device=images.device)
            return self._part(images[part], severity, draws.keep(own))

        size = memory.hand(images.shape[1:], images.device)
        return torch.cat(list(memory.each(len(images), size, one)))

    def _part(self, images: Images, severity: int, draws: Draws) -> Images:
        try:
            result = self.function(images, severity=severity, draws=draws)
        except UnfooledError:
            raise
        except Exception as error:
            raise InvalidTransform(f"{self.name} raised {type(error).__name__}: {error}") from error
        _check(self.name, images, result)
        return result


def find(name: str) -> Corruption:
    """The corruption of that name, or the user's own `file.py:function`.

    Raises:
        UnknownName: there is none.
    """
    return Corruption(name, catalog.function("corruptions", name))


def unit(images: Images) -> float:
    """How many pixels of these images are as long as one of 28 x 28."""
    return max(images.shape[2:]) / _SIDE


def fine(images: Images) -> int:
    """How many places along a pixel make at least 28 along the longer side.

    What is drawn over an image is drawn so finely; thin lines would fall between larger pixels.
    """
    return math.ceil(1 / unit(images))


def _check(name: str, images: Images, result: object) -> None:
    if not isinstance(result, Tensor):
        raise InvalidTransform(f"{name} returned a {type(result).__name__}, not a tensor of images")
    if result.shape != images.shape or result.dtype != images.dtype:
        raise InvalidTransform(
            f"{name} turns {images.dtype} {list(images.shape)} into "
            f"{result.dtype} {list(result.shape)}; type and shape must stay"
        )
    if not bool(result.isfinite().all()):
        raise InvalidTransform(f"{name} returns NaN or infinite pixels")
    low, high = (float(end) for end in result.aminmax())
    if low < 0 or high > 1:
        raise InvalidTransform(
            f"{name} returns pixels from {low:.7g} to {high:.7g}; they must stay in [0, 1]"
        )
