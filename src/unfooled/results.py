"""From facts to numbers: pure functions of the evaluations, no network and no chance.

Every number of a report stands in `Results`, which is also `results.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfooled import statistics
from unfooled.evaluation import Evaluation
from unfooled.statistics import Estimate
from unfooled.study import Study

CLEAN, WORST = "clean", "worst case"

Facts = Mapping[tuple[int, int, int], Evaluation]  # by recipe, seed and sweep
Table = NDArray[np.bool_]  # a row for each seed, a column for each image


@dataclass(frozen=True)
class Curve:
    """Robust accuracy against eps.

    Attributes:
        attack: its title, or "worst case".
        norm: of the threats.
        images: test images.
        eps: ascending from 0, where nothing is attacked.
        robust: one estimate for each eps.
    """

    attack: str
    norm: str
    images: int
    eps: tuple[float, ...]
    robust: tuple[Estimate, ...]

    def at(self, eps: float) -> Estimate:
        """The estimate at one eps."""
        return self.robust[self.eps.index(eps)]


@dataclass(frozen=True)
class RecipeResult:
    """What came of a recipe.

    Attributes:
        name, title, control: as in the study.
        seeds: those whose training and attacks all ended well.
        clean: accuracy on all test images.
        validation, transformed: accuracy on the validation images after the last epoch, without
            and with the recipe's transformations, one for each seed.
        curves: one for each attack, then the worst case image by image.
        overfitted: seeds that showed catastrophic overfitting.
        confusion: share of the images of a class (row) that are read as a class (column) under the
            worst case at the study's eps; the last column counts what the network reads as nothing.
        history: for each seed, for each epoch, what `training.Epoch` holds.
    """

    name: str
    title: str
    control: str
    seeds: tuple[int, ...]
    clean: Estimate
    validation: tuple[float, ...]
    transformed: tuple[float, ...]
    curves: tuple[Curve, ...]
    overfitted: tuple[int, ...]
    confusion: tuple[tuple[float, ...], ...]
    history: tuple[tuple[Mapping[str, float | None], ...], ...]

    def curve(self, attack: str, norm: str) -> Curve:
        """The curve of one attack, by its title, or of the worst case."""
        return next(c for c in self.curves if (c.attack, c.norm) == (attack, norm))


@dataclass(frozen=True)
class Comparison:
    """A recipe held against another, on the same seeds and images.

    Attributes:
        first, second: names; a positive difference means that the second is better.
        against: "clean", "worst case" or an attack's title.
        norm: of the attack; "" for clean.
        eps: 0 for clean.
        difference: second less first.
        p: corrected by Holm's method over all comparisons with the baseline (or, for pairs without
            the baseline, over all such pairs) at this eps.
        detectable: the smallest true difference that this study finds in 80 of 100 cases.
        verdict: "helps", "hurts", "no difference" or "cannot tell".
    """

    first: str
    second: str
    against: str
    norm: str
    eps: float
    difference: Estimate
    p: float
    detectable: float
    verdict: str


@dataclass(frozen=True)
class Results:
    """Everything that a report can say in numbers.

    Attributes:
        study: as `Study.plain` gives it.
        recipes: in the study's order; those without any finished seed are missing.
        comparisons: see `Comparison`.
        outside: images that an attack returned outside its threat, by attack; they count as not
            fooled.
        weaker: pairs (image, network) that noise or a single step fooled and a stronger attack of
            the same norm, on the same images, did not, by the stronger attack.
        missing: names of jobs without a result.
    """

    study: Mapping[str, Any]
    recipes: tuple[RecipeResult, ...]
    comparisons: tuple[Comparison, ...]
    outside: Mapping[str, int]
    weaker: Mapping[str, int]
    missing: tuple[str, ...]

    def recipe(self, name: str) -> RecipeResult:
        """One recipe's result, by its name."""
        return next(recipe for recipe in self.recipes if recipe.name == name)

    @property
    def norm(self) -> str:
        """The norm in which the question is answered: of the first attack that has its eps."""
        eps = self.study["answer_eps"]
        return str(next(s["norm"] for s in self.study["sweeps"] if eps in s["eps"]))

    @property
    def first(self) -> Curve:
        """The baseline's curve under the first attack that has the answer's eps."""
        eps = self.study["answer_eps"]
        curves = (c for c in self.recipes[0].curves if c.norm == self.norm and c.attack != WORST)
        return next(curve for curve in curves if eps in curve.eps)

    def compared(self, second: str, against: str, eps: float) -> Comparison | None:
        """A recipe held against the baseline, in the answer's norm; None if one is missing."""
        wanted = (self.study["recipes"][0]["name"], second, against, eps)
        norm = "" if against == CLEAN else self.norm
        found = (
            one
            for one in self.comparisons
            if (one.first, one.second, one.against, one.eps) == wanted and one.norm == norm
        )
        return next(found, None)


def build(
    study: Study, facts: Facts, trainings: Mapping[tuple[int, int], Mapping[str, Any]], classes: int
) -> Results:
    """The numbers of a study.

    Args:
        study: what was asked.
        facts: of every finished attack.
        trainings: the head of every finished weights file, by recipe and seed.
        classes: of the data set.
    """
    seeds = {
        recipe: tuple(
            seed
            for seed in range(study.seeds)
            if (recipe, seed) in trainings
            and all((recipe, seed, sweep) in facts for sweep in range(len(study.sweeps)))
        )
        for recipe in range(len(study.recipes))
    }
    whole = [recipe for recipe, found in seeds.items() if found]
    tables = {recipe: _tables(study, facts, recipe, seeds[recipe]) for recipe in whole}
    missing = [
        study.job_name("train", recipe, seed)
        for recipe, found in seeds.items()
        for seed in range(study.seeds)
        if seed not in found
    ]
    return Results(
        study=study.plain(),
        recipes=tuple(
            _recipe(study, facts, trainings, recipe, seeds[recipe], tables[recipe], classes)
            for recipe in whole
        ),
        comparisons=tuple(_comparisons(study, seeds, tables, whole)),
        outside=_outside(study, facts),
        weaker=_weaker(study, facts),
        missing=tuple(missing),
    )


Tables = Mapping[tuple[str, str, float], Table]  # by attack title, norm and eps


def _tables(study: Study, facts: Facts, recipe: int, seeds: Sequence[int]) -> Tables:
    """Every table of a recipe: clean, each attack at each eps, and the worst case."""
    found: dict[tuple[str, str, float], Table] = {}
    largest = max(
        (facts[recipe, seeds[0], sweep] for sweep in range(len(study.sweeps))),
        key=lambda evaluation: len(evaluation.ids),
    )
    place = next(s for s in range(len(study.sweeps)) if facts[recipe, seeds[0], s] is largest)
    found[CLEAN, "", 0.0] = np.stack([facts[recipe, seed, place].correct for seed in seeds])
    for sweep, used in enumerate(study.sweeps):
        rows = [facts[recipe, seed, sweep] for seed in seeds]
        found[used.title, used.norm, 0.0] = np.stack([row.correct for row in rows])
        for index, threat in enumerate(used.threats):
            found[used.title, used.norm, threat.eps] = np.stack([row.robust[index] for row in rows])
    for norm in dict.fromkeys(sweep.norm for sweep in study.sweeps):
        for eps in _all_eps(study, norm):
            found[WORST, norm, eps] = np.stack(
                [_worst(study, facts, recipe, seed, norm, eps) for seed in seeds]
            )
    return found


def _all_eps(study: Study, norm: str) -> list[float]:
    return sorted(
        {0.0, *(eps for sweep in study.sweeps if sweep.norm == norm for eps in sweep.eps)}
    )


def _worst(
    study: Study, facts: Facts, recipe: int, seed: int, norm: str, eps: float
) -> NDArray[np.bool_]:
    """Whether each image that every attack of the norm met stands against all of them."""
    met = [facts[recipe, seed, s] for s, used in enumerate(study.sweeps) if used.norm == norm]
    common = _common(met)
    stands = np.ones(len(common), dtype=bool)
    for evaluation in met:
        rows = [row for row, threat in enumerate(evaluation.threats) if threat.eps <= eps]
        outcome = evaluation.robust[rows[-1]] if rows else evaluation.correct
        stands &= outcome[np.searchsorted(evaluation.ids, common)]
    return stands


def _common(evaluations: Sequence[Evaluation]) -> NDArray[np.int64]:
    """The ids of the images that all evaluations met, ascending."""
    common = evaluations[0].ids
    for other in evaluations[1:]:
        common = np.intersect1d(common, other.ids)
    return common


def _recipe(
    study: Study,
    facts: Facts,
    trainings: Mapping[tuple[int, int], Mapping[str, Any]],
    recipe: int,
    seeds: tuple[int, ...],
    tables: Tables,
    classes: int,
) -> RecipeResult:
    heads = [trainings[recipe, seed] for seed in seeds]
    used = study.recipes[recipe]
    return RecipeResult(
        name=used.name,
        title=used.title,
        control=used.control,
        seeds=seeds,
        clean=statistics.share(tables[CLEAN, "", 0.0]),
        validation=tuple(head["history"][-1]["validation"] for head in heads),
        transformed=tuple(head["history"][-1]["transformed"] for head in heads),
        curves=tuple(_curves(tables)),
        overfitted=tuple(s for s, head in zip(seeds, heads, strict=True) if head["overfitted"]),
        confusion=_confusion(study, facts, recipe, seeds, classes),
        history=tuple(tuple(head["history"]) for head in heads),
    )


def _curves(tables: Tables) -> list[Curve]:
    kinds = dict.fromkeys((attack, norm) for attack, norm, _ in tables if attack != CLEAN)
    curves = []
    for attack, norm in kinds:
        eps = [e for a, n, e in tables if (a, n) == (attack, norm)]
        estimates = tuple(statistics.share(tables[attack, norm, e]) for e in eps)
        curves.append(Curve(attack, norm, estimates[0].images, tuple(eps), estimates))
    return curves


def _confusion(
    study: Study, facts: Facts, recipe: int, seeds: Sequence[int], classes: int
) -> tuple[tuple[float, ...], ...]:
    """What each class is read as under the worst case at the study's eps: the first misreading."""
    norm = next(sweep.norm for sweep in study.sweeps if study.answer_eps in sweep.eps)
    counts = np.zeros((classes, classes + 1))
    for seed in seeds:
        met = [facts[recipe, seed, s] for s, used in enumerate(study.sweeps) if used.norm == norm]
        ids = _common(met)
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


def _comparisons(
    study: Study,
    seeds: Mapping[int, tuple[int, ...]],
    tables: Mapping[int, Tables],
    whole: Sequence[int],
) -> list[Comparison]:
    if not whole:
        return []
    found: list[Comparison] = []
    for kind in tables[whole[0]]:
        pairs = list(combinations(whole, 2))
        with_baseline = [pair for pair in pairs if pair[0] == 0]
        for family in (with_baseline, [pair for pair in pairs if pair[0] != 0]):
            differences = []
            for first, second in family:
                both = [seed for seed in seeds[first] if seed in seeds[second]]
                one = tables[first][kind][[seeds[first].index(seed) for seed in both]]
                other = tables[second][kind][[seeds[second].index(seed) for seed in both]]
                if both:
                    differences.append((first, second, statistics.difference(one, other)))
            corrected = statistics.holm([difference.p for _, _, difference in differences])
            for (first, second, difference), p in zip(differences, corrected, strict=True):
                found.append(
                    Comparison(
                        first=study.recipes[first].name,
                        second=study.recipes[second].name,
                        against=kind[0],
                        norm=kind[1],
                        eps=kind[2],
                        difference=difference.estimate,
                        p=p,
                        detectable=difference.detectable,
                        verdict=statistics.verdict(difference, p, study.margin),
                    )
                )
    return found


def _outside(study: Study, facts: Facts) -> dict[str, int]:
    counts: dict[str, int] = {}
    for (_, _, sweep), evaluation in sorted(facts.items(), key=lambda item: item[0]):
        title = study.sweeps[sweep].title
        counts[title] = counts.get(title, 0) + int((~evaluation.inside).sum())
    return {title: count for title, count in counts.items() if count}


def _weaker(study: Study, facts: Facts) -> dict[str, int]:
    """Pairs of image and network that an attack of one step fooled and one of many did not."""
    from unfooled import attack

    counts: dict[str, int] = {}
    steps = [attack.find(sweep.attack, **sweep.options).steps for sweep in study.sweeps]
    for (recipe, seed, strong), evaluation in facts.items():
        for weak, used in enumerate(study.sweeps):
            other = facts.get((recipe, seed, weak))
            if steps[strong] == 1 or steps[weak] > 1 or other is None:
                continue
            if used.norm != study.sweeps[strong].norm:
                continue
            common = _common([evaluation, other])
            missed = np.zeros(len(common), dtype=bool)
            for row, threat in enumerate(evaluation.threats):
                if threat in other.threats:
                    stood = other.robust[other.threats.index(threat)]
                    kept = evaluation.robust[row][np.searchsorted(evaluation.ids, common)]
                    missed |= kept & ~stood[np.searchsorted(other.ids, common)]
            title = study.sweeps[strong].title
            counts[title] = counts.get(title, 0) + int(missed.sum())
    return counts
