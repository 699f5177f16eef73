"""Which images are shown to stand, and which fall: facts, as `evaluation.py` has of attacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor, nn

from unfooled import bounds, memory
from unfooled.bounds import Verdicts
from unfooled.dataset import Split
from unfooled.gradients import home
from unfooled.shapes import Images, Labels
from unfooled.study import Certificates
from unfooled.threat import Threat


@dataclass(frozen=True)
class Certified:
    """The facts of `bounds.examined` at several eps.

    Attributes:
        norm: "Linf" or "L2".
        eps: ascending.
        ids: of the images, `[n]`.
        stands: whether each image is shown to stand, `[eps, n]`.
        falls: whether an image that is misread was met within eps, `[eps, n]`.
    """

    norm: str
    eps: tuple[float, ...]
    ids: NDArray[np.int64]
    stands: NDArray[np.bool_]
    falls: NDArray[np.bool_]

    def within(self, eps: float) -> NDArray[np.bool_]:
        """Whether each image is shown to stand at that eps, by what is shown there or beyond."""
        rows = [row for row, one in enumerate(self.eps) if one >= eps]
        if not rows:
            return np.zeros(len(self.ids), dtype=bool)
        return np.asarray(self.stands[rows].any(axis=0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Certified":
        """The inverse of `arrays`."""
        facts = {name: arrays[name] for name in ("ids", "stands", "falls")}
        return cls(norm=str(arrays["norm"]), eps=tuple(arrays["eps"].tolist()), **facts)


def certified(
    model: nn.Module,
    split: Split,
    ids: Labels,
    asked: Certificates,
) -> Certified:
    """Whether images of a split are shown to stand at each eps, or to fall.

    Args:
        ids: positions of the images in the split.
        asked: the threats, and how far up the ladder of bounds.

    Raises:
        InvalidModel: there are no bounds for such a network.
    """
    device = home(model)

    def shown(images: Images, labels: Labels, threat: Threat) -> Verdicts:
        how = {"slopes": asked.slopes, "branches": asked.branches}
        return bounds.examined(model, images, labels, threat, **how)

    def looked_for(images: Images, labels: Labels, threat: Threat) -> Verdicts:
        falls = bounds.fallen(model, images, labels, threat)
        return Verdicts(torch.zeros_like(falls), falls)

    def one_part(part: slice) -> Bool[Tensor, "2 e m"]:
        images, labels = split.pixels(ids[part]).to(device), split.labels[ids[part]].to(device)
        now = Verdicts(torch.ones_like(labels, dtype=torch.bool), torch.zeros_like(labels) > 0)
        rows = []
        for one in asked.eps:
            # What falls goes on falling; what was not shown at a smaller eps is not at a larger.
            stands, falls = torch.zeros_like(now.stands), now.falls.clone()
            for which, ask in ((now.stands, shown), (~now.stands & ~falls, looked_for)):
                if which.any():
                    found = ask(images[which], labels[which], Threat(asked.norm, one))
                    stands[which], falls[which] = found.stands, found.falls
            now = Verdicts(stands, falls)
            rows.append(torch.stack([stands, falls]))
        return torch.stack(rows, dim=1).cpu()

    parts = list(memory.each(len(ids), split.hand(device), one_part))
    found_in_all: Bool[Tensor, "2 e n"] = torch.cat(parts, dim=2)
    stands_of_all, falls_of_all = found_in_all.numpy()
    return Certified(asked.norm, asked.eps, ids.numpy(), stands_of_all, falls_of_all)
