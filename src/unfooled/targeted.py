"""Source/target misclassification in numbers: how often each class can be turned into each other.

Pure functions of the evaluations, as `results.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfooled import statistics
from unfooled.evaluation import Evaluation
from unfooled.statistics import Estimate
from unfooled.study import Study

Cells = tuple[tuple[Estimate | None, ...], ...]


@dataclass(frozen=True)
class Targeted:
    """What one attack with targets did to one recipe's networks, within one eps.

    Attributes:
        recipe: its name.
        attack: its title.
        norm, eps: of the threat.
        turned: share of the test images that can be read as the class chosen for them; with every
            other class as a target, as at least one of them.
        cells: for each true class (row) and each target (column) the share of that class's images
            that can be turned into that target; None where nothing was tried, and everywhere if the
            targets differ between seeds.
    """

    recipe: str
    attack: str
    norm: str
    eps: float
    turned: Estimate
    cells: Cells

    def extremes(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The pairs (true class, target) that are turned most and least often."""
        known = {
            (row, column): one.value
            for row, cells in enumerate(self.cells)
            for column, one in enumerate(cells)
            if one is not None
        }
        if not known:
            return None
        return max(known, key=known.__getitem__), min(known, key=known.__getitem__)


def targeted(
    study: Study,
    facts: Mapping[tuple[int, int, int], Evaluation],
    recipe: int,
    seeds: Sequence[int],
    classes: int,
) -> list[Targeted]:
    """Every attack with targets, at every eps, on one recipe."""
    found = []
    for place, sweep in enumerate(study.sweeps):
        if not sweep.targets:
            continue
        met = [facts[recipe, seed, place] for seed in seeds]
        for row, threat in enumerate(sweep.threats):
            outcomes = np.stack([one.fooled[row] for one in met])
            found.append(
                Targeted(
                    recipe=study.recipes[recipe].name,
                    attack=sweep.title,
                    norm=sweep.norm,
                    eps=threat.eps,
                    turned=statistics.share(_by_image(outcomes, met)),
                    cells=_cells(outcomes, met, classes),
                )
            )
    return found


def _by_image(outcomes: NDArray[np.bool_], met: Sequence[Evaluation]) -> NDArray[np.bool_]:
    """Whether each image was turned into any of its targets, `[s, n]`."""
    ids = np.unique(met[0].ids)
    table = np.zeros((len(met), len(ids)), dtype=bool)
    for seed, one in enumerate(met):
        np.logical_or.at(table[seed], np.searchsorted(ids, one.ids), outcomes[seed])
    return table


def _cells(outcomes: NDArray[np.bool_], met: Sequence[Evaluation], classes: int) -> Cells:
    first = met[0].targets
    shared = all(np.array_equal(first, one.targets) for one in met)  # type: ignore[arg-type]
    if first is None or not shared:
        return tuple((None,) * classes for _ in range(classes))
    tried = [
        [(met[0].labels == label) & (first == target) for target in range(classes)]
        for label in range(classes)
    ]
    return tuple(
        tuple(statistics.share(outcomes[:, own]) if own.any() else None for own in line)
        for line in tried
    )
