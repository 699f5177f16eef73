"""Outcomes of attacks put together: which images stand, as tables of seeds by images.

Pure functions of the evaluations. Attacks are combined image by image, never averaged; those with
targets are left out here (`targeted.py`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from unfooled.corrupted import Corrupted
from unfooled.evaluation import Evaluation
from unfooled.study import Study, Sweep

CLEAN, WORST = "clean", "worst case"
CORRUPTED = "common corruptions"  # the mean over all of them
CORRUPTION = "corruption"  # stands where an attack has its norm

Facts = Mapping[tuple[int, int, int], Evaluation]  # by recipe, seed and sweep
Table = NDArray[np.bool_] | NDArray[np.float64]  # a row for each seed, a column for each image
Tables = Mapping[tuple[str, str, float], Table]  # by attack title, norm and eps


def tables(study: Study, facts: Facts, recipe: int, seeds: Sequence[int]) -> Tables:
    """Every table of a recipe: clean, each attack at each eps, and the worst case."""
    found: dict[tuple[str, str, float], Table] = {}
    place = max(
        (sweep for sweep, _ in untargeted(study)),
        key=lambda sweep: len(facts[recipe, seeds[0], sweep].ids),
    )
    found[CLEAN, "", 0.0] = np.stack([facts[recipe, seed, place].correct for seed in seeds])
    for sweep, used in untargeted(study):
        rows = [facts[recipe, seed, sweep] for seed in seeds]
        found[used.title, used.norm, 0.0] = np.stack([row.correct for row in rows])
        for index, threat in enumerate(used.threats):
            found[used.title, used.norm, threat.eps] = np.stack([row.robust[index] for row in rows])
    for norm in dict.fromkeys(sweep.norm for _, sweep in untargeted(study)):
        for eps in _all_eps(study, norm):
            found[WORST, norm, eps] = np.stack(
                [worst(study, facts, recipe, seed, norm, eps) for seed in seeds]
            )
    return found


def corrupted(facts: Sequence[Corrupted]) -> Tables:
    """A table for each corruption, the mean over its severities, and for the mean of all.

    Args:
        facts: of a recipe, one for each seed.
    """
    found: dict[tuple[str, str, float], Table] = {}
    for place, name in enumerate(facts[0].names):
        rows = [one.correct[place].mean(axis=0) for one in facts]
        found[name, CORRUPTION, 0.0] = np.stack(rows)
    found[CORRUPTED, CORRUPTION, 0.0] = np.stack([one.correct.mean(axis=(0, 1)) for one in facts])
    return found


def untargeted(study: Study, norm: str | None = None) -> list[tuple[int, Sweep]]:
    """The sweeps that want any wrong class (of one norm), with their places in the study."""
    return [
        (place, sweep)
        for place, sweep in enumerate(study.sweeps)
        if not sweep.targets and norm in (None, sweep.norm)
    ]


def _all_eps(study: Study, norm: str) -> list[float]:
    return sorted({0.0, *(eps for _, sweep in untargeted(study, norm) for eps in sweep.eps)})


def worst(
    study: Study, facts: Facts, recipe: int, seed: int, norm: str, eps: float
) -> NDArray[np.bool_]:
    """Whether each image that every attack of the norm met stands against all of them."""
    met = [facts[recipe, seed, sweep] for sweep, _ in untargeted(study, norm)]
    ids = common(met)
    stands = np.ones(len(ids), dtype=bool)
    for evaluation in met:
        rows = [row for row, threat in enumerate(evaluation.threats) if threat.eps <= eps]
        outcome = evaluation.robust[rows[-1]] if rows else evaluation.correct
        stands &= outcome[np.searchsorted(evaluation.ids, ids)]
    return stands


def met(study: Study, facts: Facts, recipe: int, seed: int, norm: str) -> NDArray[np.int64]:
    """The ids of the images that every attack of the norm met: the columns of its worst case."""
    return common([facts[recipe, seed, sweep] for sweep, _ in untargeted(study, norm)])


def common(evaluations: Sequence[Evaluation]) -> NDArray[np.int64]:
    """The ids of the images that all evaluations met, ascending."""
    ids = evaluations[0].ids
    for other in evaluations[1:]:
        ids = np.intersect1d(ids, other.ids)
    return ids


def confusion(
    study: Study, facts: Facts, recipe: int, seeds: Sequence[int], classes: int
) -> tuple[tuple[float, ...], ...]:
    """What each class is read as under the worst case at the study's eps: the first misreading."""
    norm = next(sweep.norm for _, sweep in untargeted(study) if study.answer_eps in sweep.eps)
    counts = np.zeros((classes, classes + 1))
    for seed in seeds:
        met = [facts[recipe, seed, sweep] for sweep, _ in untargeted(study, norm)]
        ids = common(met)
        places = [np.searchsorted(evaluation.ids, ids) for evaluation in met]
        labels, read = met[0].labels[places[0]], met[0].clean[places[0]]
        for evaluation, where in zip(met, places, strict=True):
            for row, threat in enumerate(evaluation.threats):
                if threat.eps <= study.answer_eps:
                    now = evaluation.read_as[row][where]
                    stands = (read == labels) & evaluation.inside[row][where]
                    read = np.where(stands, now, read)
        np.add.at(counts, (labels, np.where(read < 0, classes, read)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return tuple(tuple(float(value) for value in row) for row in shares)


def outside(study: Study, facts: Facts) -> dict[str, int]:
    """Images that each attack returned outside its threat, by its title."""
    counts: dict[str, int] = {}
    for (_, _, sweep), evaluation in sorted(facts.items(), key=lambda item: item[0]):
        title = study.sweeps[sweep].title
        counts[title] = counts.get(title, 0) + int((~evaluation.inside).sum())
    return {title: count for title, count in counts.items() if count}
