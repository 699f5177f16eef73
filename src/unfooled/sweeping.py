"""One sweep of a study on one network: facts, without asking for what is shown already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unfooled import evaluation, memory, targets
from unfooled.attack import Attacked
from unfooled.certified import Certified
from unfooled.dataset import Split
from unfooled.errors import InvalidInput
from unfooled.evaluation import Evaluation
from unfooled.gradients import home
from unfooled.packing import Arrays
from unfooled.randomness import Draws
from unfooled.shapes import Labels
from unfooled.study import Sweep
from unfooled.targets import Aim, Aims
from unfooled.threat import Threat

Seen = Callable[[Evaluation, list[Attacked]], None]
_Group = tuple[NDArray[np.int64], int]  # places of images, and the first threat they are met with


@dataclass(frozen=True)
class Sweeping:
    """One sweep of a study on one network.

    Attributes:
        network: that is attacked.
        others: the networks of the other recipes, for an attack that crafts on such.
        split: of the data.
        ids: positions of the images in the split.
        classes: of the data.
        sweep: which attack, over which eps.
        seed: of its chance.
        shown: certificates of the network: an image is not attacked at the eps at which it is shown
            to stand.
    """

    network: nn.Module
    others: Sequence[nn.Module]
    split: Split
    ids: Labels
    classes: Sequence[str]
    sweep: Sweep
    seed: int
    shown: Sequence[Certified] = ()

    def facts(self) -> Evaluation:
        """What the attack did."""
        return self._swept(lambda _, __: None)[0]

    def kept(self) -> Arrays:
        """The arrays of the facts, and the images that fool as `adversarial [t, n, c, h, w]`.

        All others are black, which takes no room in a file.
        """
        parts: list[NDArray[np.float32]] = []

        def seen(facts: Evaluation, found: list[Attacked]) -> None:
            images = np.stack([one.images.float().cpu().numpy() for one in found])
            images[~facts.won] = 0
            parts.append(images)

        facts, groups = self._swept(seen)
        whole = np.zeros((*facts.read_as.shape, *self.split.images.shape[1:]), np.float32)
        given = iter(parts)
        for rows, first in groups:
            done = 0
            while done < len(rows) and first < len(facts.threats):
                one = next(given)
                whole[first:, rows[done : done + one.shape[1]]] = one
                done += one.shape[1]
        return {**facts.arrays(), "adversarial": whole}

    def _swept(self, seen: Seen) -> tuple[Evaluation, list[_Group]]:
        """The facts, and the images that were attacked together."""
        network, split, ids = self.network, self.split, self.ids
        draws = Draws(self.seed, f"attack/{self.sweep.attack}", ids)
        aims: Labels | None = None
        if self.sweep.targets:
            choose = targets.find(self.sweep.targets, tuple(self.classes))
            ids, aims = _aimed(network, split, ids, choose, draws)
        armed, threats = self.sweep.armed(self.others), self.sweep.threats
        spared = _spared(ids.numpy(), self.shown, threats)
        facts, groups = list[Evaluation](), list[_Group]()
        for first in np.unique(spared).tolist():
            rows = np.flatnonzero(spared == first)
            own, (free, left) = ids[torch.from_numpy(rows)], (threats[:first], threats[first:])
            both = [evaluation.untouched(network, split, own, armed, free)] if free else []
            if left:
                wanted = None if aims is None else aims[torch.from_numpy(rows)]
                given = (network, split, own, armed, left)
                both.append(
                    evaluation.evaluate_split(*given, draws=draws, targets=wanted, seen=seen)
                )
            facts.append(evaluation.stacked(both))
            groups.append((rows, first))
        return evaluation.merged(facts, np.concatenate([rows for rows, _ in groups])), groups


def _aimed(network: nn.Module, split: Split, ids: Labels, choose: Aim, draws: Draws) -> Aims:
    """The images that take part, as often as they do, and the class that each shall be read as.

    Raises:
        InvalidInput: none takes part.
    """
    device, refused = home(network), list[InvalidInput]()

    def one(part: slice) -> Aims:
        images, labels = split.pixels(ids[part]).to(device), split.labels[ids[part]].to(device)
        try:
            places, wanted = choose(network, images, labels, draws.at(ids[part]))
        except InvalidInput as error:  # none of these, which says nothing of the others
            refused.append(error)
            return ids[:0], ids[:0]
        return ids[part][places.cpu()], wanted.cpu()

    chosen, wanted = zip(*memory.each(len(ids), split.hand(device), one), strict=True)
    if not sum(map(len, chosen)):
        raise refused[0]
    return torch.cat(chosen), torch.cat(wanted)


def _spared(
    ids: NDArray[np.int64], shown: Sequence[Certified], threats: Sequence[Threat]
) -> NDArray[np.int64]:
    """For each image the number of the smallest threats that it is shown to stand against."""
    counts = np.zeros(len(ids), dtype=np.int64)
    for one in shown:
        for place, threat in enumerate(threats):
            counts[np.isin(ids, one.ids[one.within(threat.eps)])] = place + 1
    return counts
