"""The judge: it asks the model itself, measures again, and trusts no attack.

An `Evaluation` holds facts for each image. Accuracies, intervals and verdicts are functions of it
(`statistics.py`), so a new statistic needs no new run.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unfooled import memory
from unfooled.attack import Attack, Attacked
from unfooled.borders import check_classes, check_input
from unfooled.dataset import Split
from unfooled.errors import InvalidInput
from unfooled.gradients import home, predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.threat import Threat

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
        read_at_8bit, inside_at_8bit: the same of an image that fools when it is rounded to k / 255,
            as an image file holds it, `[t, n]`; of others the facts as they are.
        forward, backward: passes that the attack took for the image under this threat and all
            smaller ones, `[t, n]`; of a black box, `forward` are its queries.
        until: forward passes until it succeeded; 0 where the image was misread from the start, -1
            where it never was, `[t, n]`.
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
    read_at_8bit: NDArray[np.int64]
    inside_at_8bit: NDArray[np.bool_]
    forward: NDArray[np.int64]
    backward: NDArray[np.int64]
    until: NDArray[np.int64]

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
        fooled: NDArray[np.bool_] = np.logical_or.accumulate(self.won, axis=0)
        return fooled

    @property
    def won(self) -> NDArray[np.bool_]:
        """Whether what the attack returned under each threat fools by itself, `[t, n]`."""
        return self._wanted(self.read_as) & self.inside

    @property
    def fooled_at_8bit(self) -> NDArray[np.bool_]:
        """Whether each image is misread when it comes from a file of 8 bits a pixel, `[t, n]`."""
        fooled: NDArray[np.bool_] = np.logical_or.accumulate(
            self._wanted(self.read_at_8bit) & self.inside_at_8bit, axis=0
        )
        return fooled

    @property
    def robust(self) -> NDArray[np.bool_]:
        """Whether each image is read correctly without attack and not fooled by it, `[t, n]`."""
        return self.correct & ~self.fooled

    def _wanted(self, read_as: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether these readings are what the attack wants."""
        if self.targets is None:
            return np.asarray(np.not_equal(read_as, self.labels))
        # What reads as nothing withstands no attack, whatever its target.
        return np.asarray(np.logical_or(read_as == self.targets, read_as == UNREAD))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything as arrays, for a file."""
        arrays: dict[str, NDArray[np.generic]] = {
            "attack": np.array(self.attack),
            "norm": np.array(self.threats[0].norm),
            "eps": np.array([threat.eps for threat in self.threats]),
        }
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Evaluation":
        """The inverse of `arrays`."""
        own = {field.name for field in dataclasses.fields(cls)} - {"attack", "threats"}
        facts = {name: array for name, array in arrays.items() if name in own}
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
    ids = torch.arange(len(images)) if draws.ids is None else draws.ids

    def one(part: slice) -> Evaluation:
        aims = None if targets is None else targets[part]
        own = draws.at(ids[part])
        given = (model, images[part], labels[part], attack, threats)
        return judged(*given, draws=own, targets=aims)[0]

    size = memory.hand(images.shape[1:], images.device)
    return gathered(memory.each(len(images), size, one), len(images))


def evaluate_split(
    model: nn.Module,
    split: Split,
    ids: Labels,
    attack: Attack,
    threats: Sequence[Threat],
    *,
    draws: Draws,
    targets: Labels | None = None,
    seen: Callable[[Evaluation, list[Attacked]], None] = lambda _, __: None,
) -> Evaluation:
    """The facts of an attack on images of a data set, which stay bytes until their turn comes.

    Memory does not grow with the number of images. The model's device is where they are attacked.

    Args:
        model, attack, threats, targets: as in `evaluate`.
        split: of a data set.
        ids: positions of the images in the split.
        draws: their chance; numbered by `ids`.
        seen: called with the facts of some images and with those images, until all are through. It
            must keep nothing where it raises.
    """
    device = home(model)

    def one(part: slice) -> Evaluation:
        images, labels = split.pixels(ids[part]).to(device), split.labels[ids[part]].to(device)
        aims = None if targets is None else targets[part].to(device)
        own = draws.at(ids[part])
        facts, found = judged(model, images, labels, attack, threats, draws=own, targets=aims)
        seen(facts, found)
        return facts

    return gathered(memory.each(len(ids), split.hand(device), one), len(ids))


def untouched(
    model: nn.Module, split: Split, ids: Labels, attack: Attack, threats: Sequence[Threat]
) -> Evaluation:
    """The facts of an attack that need not be made: the images are shown to stand against it.

    Args:
        model, split, ids, attack, threats: as in `evaluate_split`.
    """
    device = home(model)

    def one(part: slice) -> NDArray[np.int64]:
        return read(predict(model, split.pixels(ids[part]).to(device)))

    reads = list(memory.each(len(ids), split.hand(device), one))
    clean, shape = np.concatenate(reads), (len(threats), len(ids))
    reading, nothing = np.broadcast_to(clean, shape).copy(), np.zeros(shape, dtype=np.int64)
    labels = split.labels[ids].numpy()
    return Evaluation(
        attack=attack.name,
        threats=tuple(sorted(threats, key=lambda threat: threat.eps)),
        ids=ids.numpy(),
        labels=labels,
        targets=None,
        clean=clean,
        read_as=reading,
        distance=np.zeros(shape),
        inside=np.ones(shape, dtype=bool),
        read_at_8bit=reading.copy(),
        inside_at_8bit=np.ones(shape, dtype=bool),
        forward=nothing,
        backward=nothing.copy(),
        until=np.where(clean == labels, -1, nothing),
    )


def stacked(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of the same images under the threats of all, ascending from part to part."""
    facts: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Evaluation)
        if getattr(getattr(parts[0], field.name), "ndim", 0) == 2
    }
    threats = tuple(threat for part in parts for threat in part.threats)
    return dataclasses.replace(parts[0], threats=threats, **facts)


def merged(parts: Sequence[Evaluation], places: NDArray[np.int64]) -> Evaluation:
    """One evaluation of one attack on different images, each at its place."""
    if len(parts) == 1:
        return parts[0]
    whole, order = gathered(parts, len(places)), np.argsort(places)
    facts = {f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)}
    own: dict[str, Any] = {
        name: fact[..., order] for name, fact in facts.items() if isinstance(fact, np.ndarray)
    }
    return dataclasses.replace(whole, **own)


def gathered(parts: Iterable[Evaluation], n: int) -> Evaluation:
    """One evaluation of n images out of those of a few at a time.

    Each part's facts are copied into their place at once: kept one by one among the large buffers
    that come and go, they would pin those in memory.

    Raises:
        InvalidInput: there are no images.
    """
    whole: dict[str, Any] = {}
    start = 0
    for part in parts:
        facts = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        stop = start + len(part.ids)
        for name, fact in facts.items():
            if isinstance(fact, np.ndarray):
                whole.setdefault(name, np.empty((*fact.shape[:-1], n), fact.dtype))
                whole[name][..., start:stop] = fact
            else:
                whole[name] = fact
        start = stop
    if not whole:
        raise InvalidInput("there are no images to evaluate")
    return Evaluation(**whole)


def judged(
    model: nn.Module,
    images: Images,
    labels: Labels,
    attack: Attack,
    threats: Sequence[Threat],
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> tuple[Evaluation, list[Attacked]]:
    """The facts of an attack, and the attacked images for each threat, eps ascending.

    All at once; `evaluate` does it piece by piece and keeps the facts alone.
    """
    check_input(images, labels, targets)
    if not threats or len({threat.norm for threat in threats}) != 1:
        raise InvalidInput("an evaluation needs at least one threat, and all of one norm")
    ordered = sorted(threats, key=lambda threat: threat.eps)
    clean_logits = predict(model, images)
    check_classes(labels, targets, clean_logits.shape[1])
    found = attack.sweep(model, images, labels, ordered, draws=draws, targets=targets)
    pairs = list(zip(ordered, found, strict=True))
    ids = torch.arange(len(images)) if draws.ids is None else draws.ids
    read_as = np.stack([read(predict(model, one.images)) for one in found])
    far = [threat.distance(images, one.images) for threat, one in pairs]
    inside = np.stack(
        [_array(t.reaches(own, one.images)) for own, (t, one) in zip(far, pairs, strict=True)]
    )
    facts = Evaluation(
        attack=attack.name,
        threats=tuple(ordered),
        ids=_array(ids),
        labels=_array(labels),
        targets=None if targets is None else _array(targets),
        clean=read(clean_logits),
        read_as=read_as,
        distance=np.stack([_array(own) for own in far]),
        inside=inside,
        read_at_8bit=read_as.copy(),
        inside_at_8bit=inside.copy(),
        forward=np.stack([_array(one.passes.forward) for one in found]),
        backward=np.stack([_array(one.passes.backward) for one in found]),
        until=np.stack([_array(one.passes.until) for one in found]),
    )
    for row, (threat, one) in enumerate(pairs):
        (where,) = facts.won[row].nonzero()
        if len(where):
            rows = torch.from_numpy(where).to(images.device)
            rounded = threat.as_8bit(images[rows], one.images[rows])
            facts.read_at_8bit[row, where] = read(predict(model, rounded))
            facts.inside_at_8bit[row, where] = _array(threat.allows(images[rows], rounded))
    return facts, found


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()


def read(logits: Logits) -> NDArray[np.int64]:
    """The class that each row of logits stands for; `UNREAD` where they are not finite."""
    classes = logits.argmax(1).masked_fill(~logits.isfinite().all(1), UNREAD)
    return classes.cpu().numpy()
