"""What a network reads on corrupted images: facts, as `evaluation.py` gives them of attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unfooled import corruption, memory
from unfooled.dataset import Split
from unfooled.evaluation import read
from unfooled.gradients import home, predict
from unfooled.randomness import Draws
from unfooled.shapes import Labels


@dataclass(frozen=True)
class Corrupted:
    """The facts of several corruptions on one network.

    Attributes:
        names: of the corruptions, in `corruptions/`.
        severities: 1 to 5.
        ids: of the images, `[n]`.
        labels: `[n]`.
        read_as: the class that each image is read as, `[names, severities, n]`.
    """

    names: tuple[str, ...]
    severities: tuple[int, ...]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    read_as: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each is read correctly, `[names, severities, n]`."""
        return np.asarray(np.equal(self.read_as, self.labels))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Corrupted":
        """The inverse of `arrays`."""
        names, severities = (tuple(arrays[name].tolist()) for name in ("names", "severities"))
        return cls(names, severities, arrays["ids"], arrays["labels"], arrays["read_as"])


def corrupted(
    model: nn.Module,
    split: Split,
    ids: Labels,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    draws: Draws,
) -> Corrupted:
    """What a model reads on images of a split under each corruption at each severity.

    The same image is corrupted in the same way for every model.

    Args:
        ids: positions of the images in the split.
        draws: the chance of the corruptions; numbered by `ids` here.

    Raises:
        UnknownName, InvalidOption, InvalidTransform: see `corruption.find` and `Corruption.apply`.
    """
    device = home(model)
    found = [corruption.find(name) for name in names]
    read_as = np.empty((len(names), len(severities), len(ids)), np.int64)

    def one_part(part: slice) -> None:
        images = split.pixels(ids[part])
        for row, one in enumerate(found):
            own = draws.step(one.name).at(ids[part])
            for column, severity in enumerate(severities):
                worse = one.apply(images, severity, draws=own)
                read_as[row, column, part] = read(predict(model, worse.to(device)))

    for _ in memory.each(len(ids), split.hand(device), one_part):
        pass
    labels = split.labels[ids].cpu().numpy()
    return Corrupted(tuple(names), tuple(severities), ids.numpy(), labels, read_as)
