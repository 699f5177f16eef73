"""Which images are shown to stand, and which fall: facts, as `evaluation.py` has of attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor, nn

from unfooled import bounds
from unfooled.bounds import Verdicts
from unfooled.dataset import Split
from unfooled.gradients import home
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

_AT_ONCE = 1000  # images


@dataclass(frozen=True)
class Certified:
    """The facts of `bounds.examined` at several eps.

    Attributes:
        eps: ascending, of Linf.
        ids: of the images, `[n]`.
        stands: whether each image is shown to stand, `[eps, n]`.
        falls: whether an image that is misread was met within eps, `[eps, n]`.
    """

    eps: tuple[float, ...]
    ids: NDArray[np.int64]
    stands: NDArray[np.bool_]
    falls: NDArray[np.bool_]

    @property
    def unrefuted(self) -> NDArray[np.bool_]:
        """Where no image that is misread was met, `[eps, n]`: no fewer than those that stand."""
        return ~self.falls

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Certified":
        """The inverse of `arrays`; older runs did not look for what falls."""
        stands = arrays["stands"]
        falls = arrays.get("falls", np.zeros_like(stands))
        return cls(tuple(arrays["eps"].tolist()), arrays["ids"], stands, falls)


def certified(
    model: nn.Module,
    split: Split,
    ids: Labels,
    eps: Sequence[float],
    *,
    slopes: int = 0,
    branches: int = 0,
) -> Certified:
    """Whether images of a split are shown to stand at each eps, or to fall.

    Args:
        ids: positions of the images in the split.
        eps: ascending, of Linf.
        slopes, branches: as for `bounds.examined`.

    Raises:
        InvalidModel: there are no bounds for such a network.
    """
    device = home(model)

    def asked(images: Images, labels: Labels, one: float) -> Verdicts:
        threat = Threat("Linf", one)
        return bounds.examined(model, images, labels, threat, slopes=slopes, branches=branches)

    def looked_for(images: Images, labels: Labels, one: float) -> Verdicts:
        falls = bounds.fallen(model, images, labels, Threat("Linf", one))
        return Verdicts(torch.zeros_like(falls), falls)

    parts = []
    for part in ids.split(_AT_ONCE):
        images, labels = split.pixels(part).to(device), split.labels[part].to(device)
        now = Verdicts(torch.ones_like(labels, dtype=torch.bool), torch.zeros_like(labels) > 0)
        rows = []
        for one in eps:
            # What falls goes on falling; what was not shown at a smaller eps is not at a larger.
            stands, falls = torch.zeros_like(now.stands), now.falls.clone()
            for which, ask in ((now.stands, asked), (~now.stands & ~falls, looked_for)):
                if which.any():
                    found = ask(images[which], labels[which], one)
                    stands[which], falls[which] = found.stands, found.falls
            now = Verdicts(stands, falls)
            rows.append(torch.stack([stands, falls]))
        parts.append(torch.stack(rows, dim=1).cpu())
    found_in_all: Bool[Tensor, "2 e n"] = torch.cat(parts, dim=2)
    stands_of_all, falls_of_all = found_in_all.numpy()
    return Certified(tuple(eps), ids.numpy(), stands_of_all, falls_of_all)
