"""From facts to numbers: pure functions of the evaluations, no network and no chance.

Every number of a report stands in `Results`, which is also `results.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from unfooled import outcomes, statistics
from unfooled.outcomes import CLEAN, WORST, Facts, Tables
from unfooled.statistics import Estimate
from unfooled.study import Study
from unfooled.targeted import Targeted, targeted


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
        targeted: see `Targeted`; for each recipe, attack with targets and eps.
        missing: names of jobs without a result.
    """

    study: Mapping[str, Any]
    recipes: tuple[RecipeResult, ...]
    comparisons: tuple[Comparison, ...]
    outside: Mapping[str, int]
    weaker: Mapping[str, int]
    targeted: tuple[Targeted, ...]
    missing: tuple[str, ...]

    def recipe(self, name: str) -> RecipeResult:
        """One recipe's result, by its name."""
        return next(recipe for recipe in self.recipes if recipe.name == name)

    @property
    def norm(self) -> str:
        """The norm in which the question is answered: of the first attack that has its eps."""
        eps = self.study["answer_eps"]
        untargeted = (s for s in self.study["sweeps"] if not s["targets"])
        return str(next(s["norm"] for s in untargeted if eps in s["eps"]))

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
    tables = {recipe: outcomes.tables(study, facts, recipe, seeds[recipe]) for recipe in whole}
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
        outside=outcomes.outside(study, facts),
        weaker=outcomes.weaker(study, facts),
        targeted=tuple(
            one
            for recipe in whole
            for one in targeted(study, facts, recipe, seeds[recipe], classes)
        ),
        missing=tuple(missing),
    )


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
        confusion=outcomes.confusion(study, facts, recipe, seeds, classes),
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
