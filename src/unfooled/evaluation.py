"""The judge: it asks the model itself, measures again, and trusts no attack.

An `Evaluation` holds facts for each image. Accuracies, intervals and verdicts are functions of it
(`statistics.py`), so a new statistic needs no new run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unfooled.attack import Attack, check_input
from unfooled.errors import InvalidInput
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.threat import Threat

_AT_ONCE = (
    1000  # images attacked and judged before the next: memory does not grow with their number
)
UNREAD = -1  # what a model reads whose logits are not finite: nothing, so never the label


@dataclass(frozen=True)
class Evaluation:
    """What one attack did to one model, image by image.

    Attributes:
        attack: its name.
        threats: one for each row of the facts below; one norm, eps ascending.
        ids: the images' ids in their data set, `[n]`.
        labels: their true classes, `[n]`.
        targets: the wanted classes, `[n]`; None for any wrong class.
        clean: what the model reads without attack, `[n]`; -1 where its logits are not finite.
        read_as: what it reads after the attack, `[t, n]`.
        distance: how far the image was moved in the threat's norm, float64 `[t, n]`.
        inside: whether the attacked image lies within the threat and in [0, 1], `[t, n]`.
    """

    attack: str
    threats: tuple[Threat, ...]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    targets: NDArray[np.int64] | None
    clean: NDArray[np.int64]
    read_as: NDArray[np.int64]
    distance: NDArray[np.float64]
    inside: NDArray[np.bool_]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each image is read correctly without attack, `[n]`."""
        correct: NDArray[np.bool_] = self.clean == self.labels
        return correct

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Whether each image is misread (or read as its target), `[t, n]`.

        An image outside the threat counts as not fooled. One that is fooled at a small eps is
        fooled at every larger one, whatever the attack found there.
        """
        if self.targets is None:
            wanted = self.read_as != self.labels
        else:  # what reads as nothing withstands no attack, whatever its target
            wanted = (self.read_as == self.targets) | (self.read_as == UNREAD)
        fooled: NDArray[np.bool_] = np.logical_or.accumulate(wanted & self.inside, axis=0)
        return fooled

    @property
    def robust(self) -> NDArray[np.bool_]:
        """Whether each image is read correctly without attack and not fooled by it, `[t, n]`."""
        return self.correct & ~self.fooled

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything as arrays, for a file."""
        arrays: dict[str, NDArray[np.generic]] = {
            "attack": np.array(self.attack),
            "norm": np.array(self.threats[0].norm),
            "eps": np.array([threat.eps for threat in self.threats]),
        }
        for name in ("ids", "labels", "targets", "clean", "read_as", "distance", "inside"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Evaluation":
        """The inverse of `arrays`."""
        facts = {name: array for name, array in arrays.items() if array.ndim and name != "eps"}
        norm = str(arrays["norm"])
        threats = tuple(Threat(norm, float(eps)) for eps in arrays["eps"])
        return cls(str(arrays["attack"]), threats, **{"targets": None, **facts})  # type: ignore[arg-type]


def evaluate(
    model: nn.Module,
    images: Images,
    labels: Labels,
    attack: Attack,
    threats: Sequence[Threat],
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> Evaluation:
    """The facts of an attack on a model.

    Args:
        model: images in [0, 1] to logits; it is left as it was.
        images: float `[n, c, h, w]` in [0, 1].
        labels: int64 `[n]`.
        attack: as `attack.find` gives it.
        threats: one norm; sorted by eps here.
        draws: the chance of the attack; its ids are kept in the facts.
        targets: the class that each image shall be read as; None for any wrong class.

    Raises:
        InvalidInput, InvalidModel, InvalidThreat, JobFailed: see `Attack.sweep`.
    """
    check_input(images, labels, targets)
    if not threats or len({threat.norm for threat in threats}) != 1:
        raise InvalidInput("an evaluation needs at least one threat, and all of one norm")
    ordered = sorted(threats, key=lambda threat: threat.eps)
    clean_logits = predict(model, images)
    known = clean_logits.shape[1]
    for name, given in (("labels", labels), ("targets", targets)):
        if given is not None and not 0 <= int(given.min()) <= int(given.max()) < known:
            raise InvalidInput(
                f"{name} reach from {int(given.min())} to {int(given.max())}, "
                f"but the model has {known} classes"
            )
    clean = read(clean_logits)
    ids = torch.arange(len(images)) if draws.ids is None else draws.ids
    judged = [
        _judged(
            model,
            images[part],
            labels[part],
            attack,
            ordered,
            draws.at(ids[part.to(ids.device)]),
            None if targets is None else targets[part],
        )
        for part in torch.arange(len(images), device=images.device).split(_AT_ONCE)
    ]
    read_as, distance, inside = (
        np.concatenate(facts, axis=1) for facts in zip(*judged, strict=True)
    )
    return Evaluation(
        attack=attack.name,
        threats=tuple(ordered),
        ids=ids.cpu().numpy(),
        labels=labels.cpu().numpy(),
        targets=None if targets is None else targets.cpu().numpy(),
        clean=clean,
        read_as=read_as,
        distance=distance,
        inside=inside,
    )


def _judged(
    model: nn.Module,
    images: Images,
    labels: Labels,
    attack: Attack,
    threats: Sequence[Threat],
    draws: Draws,
    targets: Labels | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """What the model reads, how far each image was moved, and whether it lies inside, `[t, n]`."""
    found = attack.sweep(model, images, labels, threats, draws=draws, targets=targets)
    results = [one.images for one in found]
    pairs = list(zip(threats, results, strict=True))
    return (
        np.stack([read(predict(model, result)) for result in results]),
        np.stack([t.distance(images, result).cpu().numpy() for t, result in pairs]),
        np.stack([t.allows(images, result).cpu().numpy() for t, result in pairs]),
    )


def read(logits: Logits) -> NDArray[np.int64]:
    """The class that each row of logits stands for; `UNREAD` where they are not finite."""
    classes = logits.argmax(1).masked_fill(~logits.isfinite().all(1), UNREAD)
    return classes.cpu().numpy()
