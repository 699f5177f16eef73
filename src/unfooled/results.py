"""From facts to numbers: pure functions of the evaluations, no network and no chance.

Every number of a report stands in `Results`, which is also `results.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from unfooled import outcomes, statistics
from unfooled.bracket import Bracket, bracket
from unfooled.certified import Certified
from unfooled.corrupted import Corrupted
from unfooled.outcomes import CLEAN, CORRUPTION, WORST, Facts, Tables
from unfooled.statistics import Estimate
from unfooled.study import Study
from unfooled.targeted import Targeted, targeted

Network = tuple[int, int]  # recipe and seed
_SHOWN = 8  # recipes in one figure, at most


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
        corrupted: accuracy under each common corruption, the mean over its severities, and under
            "common corruptions", the mean of all; empty if none was asked for.
        certified: the share of the images that bounds show to stand; None if not asked for.
        bracket: the same beside what attacks left, on the same images; None as well.
        overfitted: seeds that showed catastrophic overfitting.
        confusion: share of the images of a class (row) that are read as a class (column) under the
            worst case at the study's eps; the last column counts what the network reads as nothing.
        history: for each seed, for each epoch, what `training.Epoch` holds; empty, as all that
            tells of training is, of a network that was there already.
    """

    name: str
    title: str
    control: str
    seeds: tuple[int, ...]
    clean: Estimate
    validation: tuple[float, ...]
    transformed: tuple[float, ...]
    curves: tuple[Curve, ...]
    corrupted: Mapping[str, Estimate]
    certified: Curve | None
    bracket: Bracket | None
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
        against: "clean", "worst case", an attack's title, or a corruption.
        norm: of the attack; "" for clean, "corruption" for a corruption.
        eps: 0 for clean and for a corruption.
        difference: second less first.
        p: corrected by Holm's method over all comparisons with the baseline (or, for pairs without
            the baseline, over all such pairs) at this eps.
        detectable: the smallest true difference that this study finds in 80 of 100 cases.
        verdict: as `statistics.verdict` gives it, or `statistics.ranked` of given networks; "not
            shown" where the audit failed (`answer.withheld`).
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
        targeted: see `Targeted`; for each recipe, attack with targets and eps.
        missing: names of jobs without a result.
    """

    study: Mapping[str, Any]
    recipes: tuple[RecipeResult, ...]
    comparisons: tuple[Comparison, ...]
    outside: Mapping[str, int]
    targeted: tuple[Targeted, ...]
    missing: tuple[str, ...]

    def recipe(self, name: str) -> RecipeResult:
        """One recipe's result, by its name."""
        return next(recipe for recipe in self.recipes if recipe.name == name)

    @property
    def given(self) -> bool:
        """Whether it is about networks that were there already."""
        return self.study["recipes"][0]["given"] is not None

    @property
    def asked(self) -> list[RecipeResult]:
        """The recipes that the question is about: neither the baseline nor a control."""
        return [recipe for recipe in self.recipes[1:] if not recipe.control]

    @property
    def featured(self) -> list[RecipeResult]:
        """All recipes, if a figure can hold them; else the baseline, controls, and some others.

        Those are the two best and the two worst of those that stand for themselves.
        """
        if len(self.recipes) <= _SHOWN:
            return list(self.recipes)
        eps = float(self.study["answer_eps"])
        alone = [recipe for recipe in self.alone[1:] if not recipe.control]
        order = sorted(alone, key=lambda recipe: -recipe.curve(WORST, self.norm).at(eps).value)
        ends = {recipe.name for recipe in (*order[:2], *order[-2:])}
        return [
            recipe
            for place, recipe in enumerate(self.recipes)
            if place == 0 or recipe.control or recipe.name in ends
        ]

    @property
    def alone(self) -> list[RecipeResult]:
        """The recipes that stand for themselves: none of a dose, and of a bundle the whole."""
        parts = [*self.study["doses"], *self.study["bundles"]]
        within = {name for part in parts for name in part["recipes"]}
        return [recipe for recipe in self.recipes if recipe.name not in within]

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

    def compared(
        self,
        second: str,
        against: str,
        eps: float,
        *,
        first: str | None = None,
        norm: str | None = None,
    ) -> Comparison | None:
        """A recipe held against another; None if one is missing.

        Args:
            second, against, eps: as in `Comparison`.
            first: the baseline if None.
            norm: the answer's if None; of no meaning for clean.
        """
        one = self.study["recipes"][0]["name"] if first is None else first
        where = "" if against == CLEAN else self.norm if norm is None else norm
        return self._compared.get((one, second, against, where, eps))

    @cached_property
    def _compared(self) -> Mapping[tuple[str, str, str, str, float], Comparison]:
        return {
            (one.first, one.second, one.against, one.norm, one.eps): one for one in self.comparisons
        }


def build(
    study: Study,
    facts: Facts,
    trainings: Mapping[Network, Mapping[str, Any]],
    classes: int,
    worse: Mapping[Network, Corrupted] | None = None,
    shown: Mapping[Network, Certified] | None = None,
) -> Results:
    """The numbers of a study.

    Args:
        study: what was asked.
        facts: of every finished attack.
        trainings: the head of every finished weights file, by recipe and seed.
        classes: of the data set.
        worse: what is read on corrupted images, by recipe and seed.
        shown: which images are certified, by recipe and seed.
    """
    worse, shown = worse or {}, shown or {}
    seeds = {
        recipe: tuple(
            seed
            for seed in range(study.seeds)
            if (recipe, seed) in trainings
            and (study.corruptions is None or (recipe, seed) in worse)
            and (study.certificates is None or (recipe, seed) in shown)
            and all((recipe, seed, sweep) in facts for sweep in range(len(study.sweeps)))
        )
        for recipe in range(len(study.recipes))
    }
    whole = [recipe for recipe, found in seeds.items() if found]
    tables = {recipe: outcomes.tables(study, facts, recipe, seeds[recipe]) for recipe in whole}
    if study.corruptions is not None:
        for recipe, own in tables.items():
            met = [worse[recipe, seed] for seed in seeds[recipe]]
            tables[recipe] = {**own, **outcomes.corrupted(met)}
    missing = [
        study.job_name("train", recipe, seed)
        for recipe, found in seeds.items()
        for seed in range(study.seeds)
        if seed not in found
    ]
    return Results(
        study=study.plain(),
        recipes=tuple(
            _recipe(study, facts, trainings, shown, recipe, seeds[recipe], tables[recipe], classes)
            for recipe in whole
        ),
        comparisons=tuple(_comparisons(study, seeds, tables, whole)),
        outside=outcomes.outside(study, facts),
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
    trainings: Mapping[Network, Mapping[str, Any]],
    shown: Mapping[Network, Certified],
    recipe: int,
    seeds: tuple[int, ...],
    tables: Tables,
    classes: int,
) -> RecipeResult:
    heads = [trainings[recipe, seed] for seed in seeds]
    used = study.recipes[recipe]
    certificates = [shown[recipe, seed] for seed in seeds if (recipe, seed) in shown]
    return RecipeResult(
        name=used.name,
        title=used.title,
        control=used.control,
        seeds=seeds,
        clean=statistics.share(tables[CLEAN, "", 0.0]),
        validation=tuple(h["history"][-1]["validation"] for h in heads if h["history"]),
        transformed=tuple(h["history"][-1]["transformed"] for h in heads if h["history"]),
        curves=tuple(_curves(tables)),
        corrupted={
            attack: statistics.share(table)
            for (attack, norm, _), table in tables.items()
            if norm == CORRUPTION
        },
        certified=_certified(certificates),
        bracket=bracket(study, facts, recipe, seeds, certificates),
        overfitted=tuple(s for s, head in zip(seeds, heads, strict=True) if head["overfitted"]),
        confusion=outcomes.confusion(study, facts, recipe, seeds, classes),
        history=tuple(tuple(head["history"]) for head in heads),
    )


def _curves(tables: Tables) -> list[Curve]:
    kinds = dict.fromkeys(
        (attack, norm) for attack, norm, _ in tables if attack != CLEAN and norm != CORRUPTION
    )
    curves = []
    for attack, norm in kinds:
        eps = [e for a, n, e in tables if (a, n) == (attack, norm)]
        estimates = tuple(statistics.share(tables[attack, norm, e]) for e in eps)
        curves.append(Curve(attack, norm, estimates[0].images, tuple(eps), estimates))
    return curves


def _certified(facts: Sequence[Certified]) -> Curve | None:
    if not facts:
        return None
    eps = facts[0].eps
    found = tuple(statistics.share(np.stack([one.within(size) for one in facts])) for size in eps)
    return Curve("certified", facts[0].norm, found[0].images, eps, found)


def _pairs(study: Study, whole: Sequence[int]) -> tuple[list[tuple[int, int]], ...]:
    """The families of comparisons: with the baseline, and all others.

    With doses or bundles there are many recipes; of the others only those within a bundle tell
    something.
    """
    with_baseline = [(0, other) for other in whole if other != 0 and 0 in whole]
    if not (study.doses or study.bundles):
        return with_baseline, [pair for pair in combinations(whole, 2) if pair[0] != 0]
    place = {recipe.name: index for index, recipe in enumerate(study.recipes)}
    within = [(place[b.whole], place[one]) for b in study.bundles for one in b.recipes]
    return with_baseline, [pair for pair in within if set(pair) <= set(whole)]


def _comparisons(
    study: Study,
    seeds: Mapping[int, tuple[int, ...]],
    tables: Mapping[int, Tables],
    whole: Sequence[int],
) -> list[Comparison]:
    if not whole:
        return []
    found: list[Comparison] = []
    differ, say = (
        (statistics.between, statistics.ranked)
        if study.given
        else (statistics.difference, statistics.verdict)
    )
    for kind in tables[whole[0]]:
        for family in _pairs(study, whole):
            differences = []
            for first, second in family:
                both = [seed for seed in seeds[first] if seed in seeds[second]]
                one = tables[first][kind][[seeds[first].index(seed) for seed in both]]
                other = tables[second][kind][[seeds[second].index(seed) for seed in both]]
                if both:
                    differences.append((first, second, differ(one, other)))
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
                        verdict=say(difference, p, study.margin),
                    )
                )
    return found
