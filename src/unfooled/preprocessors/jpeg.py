"""JPEG: what the eye does not need is thrown away, and some of the attack with it."""

import io

import numpy as np
import torch
from numpy.typing import NDArray

from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images

GRADIENT = "identity"  # a file has none
RANDOM = False


def jpeg(images: Images, *, draws: Draws, quality: int = 75) -> Images:  # noqa: ARG001
    """Each image written as a JPEG file and read again.

    Args:
        quality: 1 (smallest file) to 100.

    Raises:
        InvalidOption: there is no such quality.

    Source: Dziugaite et al. 2016, https://arxiv.org/abs/1608.00853; Guo et al. 2018,
    https://arxiv.org/abs/1711.00117, section 4.
    """
    if not 1 <= quality <= 100:
        raise InvalidOption(f"the quality of a JPEG file is 1 to 100, not {quality}")
    levels = images.detach().mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    read = [
        _through_a_file(one.squeeze(-1) if one.shape[-1] == 1 else one, quality) for one in levels
    ]
    found = torch.from_numpy(np.stack(read)).to(images) / 255
    return found.view(len(images), *images.shape[2:], -1).permute(0, 3, 1, 2).contiguous()


def _through_a_file(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
