"""Which images are shown to stand, by bounds: facts, as `evaluation.py` gives them of attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unfooled import bounds
from unfooled.dataset import Split
from unfooled.shapes import Labels
from unfooled.threat import Threat

_AT_ONCE = 1000  # images


@dataclass(frozen=True)
class Certified:
    """The facts of `bounds.certified` at several eps.

    Attributes:
        eps: ascending, of Linf.
        ids: of the images, `[n]`.
        stands: whether each image is shown to stand, `[eps, n]`.
    """

    eps: tuple[float, ...]
    ids: NDArray[np.int64]
    stands: NDArray[np.bool_]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Certified":
        """The inverse of `arrays`."""
        return cls(tuple(arrays["eps"].tolist()), arrays["ids"], arrays["stands"])


def certified(model: nn.Module, split: Split, ids: Labels, eps: Sequence[float]) -> Certified:
    """Whether images of a split are shown to stand at each eps.

    Args:
        ids: positions of the images in the split.
        eps: ascending, of Linf.

    Raises:
        InvalidModel: there are no bounds for such a network.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    stands = []
    for part in ids.split(_AT_ONCE):
        images, labels = split.pixels(part).to(device), split.labels[part].to(device)
        shown = torch.zeros(len(eps), len(part), dtype=torch.bool)
        left = torch.arange(len(part))
        for row, one in zip(shown, eps, strict=True):
            # What is not shown for a small eps is not asked about for a larger one.
            own = left.to(device)
            found = bounds.certified(model, images[own], labels[own], Threat("Linf", one))
            left = left[found.cpu()]
            row[left] = True
        stands.append(shown)
    return Certified(tuple(eps), ids.numpy(), torch.cat(stands, dim=1).numpy())
