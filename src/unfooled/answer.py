"""The answer in words, and what the checks take from it: functions of `Results` and findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unfooled.finding import Finding
from unfooled.outcomes import CORRUPTION, WORST
from unfooled.results import Comparison, RecipeResult, Results
from unfooled.standing import standing
from unfooled.statistics import (
    CANNOT_TELL,
    FEWEST_SEEDS,
    HELPS,
    HURTS,
    NO_DIFFERENCE,
    NOT_SHOWN,
    Estimate,
)
from unfooled.wording import listed, percent, points, points_interval, quoted

_ONLY_DOSES = "The figures of the doses hold the answer."
_LISTED = 6  # recipes that a sentence can hold one by one
_TOLD = 6  # doubts about recipes that a first page can hold one by one
_SHOWS = "too_high"  # the check that says most, where several failed
FAILED = "failed"


@dataclass(frozen=True)
class Doubt:
    """A reason not to believe a number.

    Attributes:
        sentence: what was found, with its numbers.
        serious: whether a verdict is withheld because of it.
    """

    sentence: str
    serious: bool


@dataclass(frozen=True)
class Answer:
    """What the study says.

    Attributes:
        short: three words or so.
        sentence: the whole answer, with numbers.
        doubts: serious ones first.
    """

    short: str
    sentence: str
    doubts: tuple[Doubt, ...]


def answer(results: Results, findings: Sequence[Finding] = ()) -> Answer:
    """The answer at the study's eps, under the worst case of its attacks.

    Args:
        results: the numbers, as `withheld` leaves them.
        findings: of the checks, the worst first.
    """
    doubts = tuple(_doubts(results, findings))
    short, sentence = standing(results) if results.given else _changes(results)
    failed = {one.recipe for one in findings if one.verdict == FAILED}
    recipes = results.study["recipes"]
    under_study = {recipe["name"] for recipe in recipes[1:] if not recipe["control"]}
    if failed & _pillars(results) or (under_study and under_study <= failed):
        return Answer("Not shown.", f"The verdict is withheld. {sentence}", doubts)
    return Answer(short, sentence, doubts)


def _changes(results: Results) -> tuple[str, str]:
    """What the recipes change, in a few words and in a sentence."""
    asked = _asked(results)
    baseline = results.recipes[0]
    eps = float(results.study["answer_eps"])
    stands = f"{percent(_worst(baseline, results.norm, eps).value)} of the attacked images"
    where = f"At eps {eps:g}, where {quoted(baseline.title)} reads {stands} correctly"
    seeds = min((one.difference.seeds for one in asked), default=0)
    images = asked[0].difference.images if asked else 0
    counted = f"{seeds} {'seed' if seeds == 1 else 'seeds'}, {images:,} images"
    basis = f"{counted}, 95\N{NO-BREAK SPACE}% intervals"
    clauses = [_clause(one, results.recipe(one.second)) for one in asked]
    if len(asked) > _LISTED:
        clauses = _counted(asked, results)
    nothing = _ONLY_DOSES if results.study["doses"] else "Nothing was compared."
    sentence = f"{where}, {listed(clauses)} ({basis})." if clauses else nothing
    return _short([one.verdict for one in asked]), sentence


def _asked(results: Results) -> list[Comparison]:
    """The recipes under study, held against the baseline where the question is answered.

    Those of doses and parts of bundles are not counted: they have figures of their own.
    """
    eps = float(results.study["answer_eps"])
    found = [
        results.compared(recipe.name, WORST, eps)
        for recipe in results.alone[1:]
        if not recipe.control
    ]
    return [one for one in found if one is not None]


def _worst(recipe: RecipeResult, norm: str, eps: float) -> Estimate:
    return recipe.curve(WORST, norm).at(eps)


def _clause(one: Comparison, recipe: RecipeResult) -> str:
    change = f"{points(one.difference.value)} points, {points_interval(one.difference)}"
    title = quoted(recipe.title)
    if one.verdict == NOT_SHOWN:
        return f"for {title} nothing is shown ({change})"
    if one.verdict == NO_DIFFERENCE:
        most = max(abs(one.difference.low), abs(one.difference.high))
        return f"{title} makes no difference larger than {100 * most:.1f} points ({change})"
    if one.verdict == CANNOT_TELL:
        few = (
            f"with fewer than {FEWEST_SEEDS} seeds " if one.difference.seeds < FEWEST_SEEDS else ""
        )
        return f"{few}it cannot be told whether {title} helps ({change})"
    return f"{title} {one.verdict} ({change})"


def _counted(asked: Sequence[Comparison], results: Results) -> list[str]:
    """How many help and how many hurt, and the ends; for more recipes than a sentence can hold."""
    parts = []
    for word, furthest in ((HELPS, max), (HURTS, min)):
        by = [one for one in asked if one.verdict == word]
        if by:
            one = furthest(by, key=lambda one: one.difference.value)
            change = f"{points(one.difference.value)} points, {points_interval(one.difference)}"
            most = f"most of all {quoted(results.recipe(one.second).title)} ({change})"
            parts.append(f"{len(by)} {word if len(by) == 1 else word.removesuffix('s')}, {most}")
    same = sum(one.verdict == NO_DIFFERENCE for one in asked)
    if same:
        makes = "makes" if same == 1 else "make"
        parts.append(f"{same} {makes} no difference beyond {100 * _margin(results):g} points")
    untold = sum(one.verdict == CANNOT_TELL for one in asked)
    parts += [f"for {untold} it cannot be told"] if untold else []
    unshown = sum(one.verdict == NOT_SHOWN for one in asked)
    parts += [f"for {unshown} nothing is shown"] if unshown else []
    return [f"of {len(asked)} recipes {listed(parts)}"]


def _margin(results: Results) -> float:
    return float(results.study["margin"])


def _short(verdicts: Sequence[str]) -> str:
    """Words that stand by themselves, whatever the question was."""
    kinds = set(verdicts) - {NOT_SHOWN}
    if kinds == {HELPS}:
        return "Harder to fool."
    if HELPS in kinds:
        return "It depends on which."
    if kinds == {HURTS}:
        return "Easier to fool."
    if kinds and kinds <= {HURTS, NO_DIFFERENCE}:
        return "Not harder to fool."
    return "Cannot tell."


def withheld(results: Results, findings: Sequence[Finding]) -> Results:
    """The same numbers, without the verdicts under attack that a failed check takes away.

    All of them where the failure concerns the whole study, the baseline or a positive control;
    otherwise those in which a recipe takes part that failed.
    """
    failed = {one.recipe for one in findings if one.verdict == FAILED}
    every = bool(failed & _pillars(results))

    def judged(one: Comparison) -> Comparison:
        attacked = one.norm not in ("", CORRUPTION)
        if attacked and (every or failed & {one.first, one.second}):
            return replace(one, verdict=NOT_SHOWN)
        return one

    return replace(results, comparisons=tuple(map(judged, results.comparisons)))


def _pillars(results: Results) -> set[str]:
    """What no verdict can do without: the whole study, its baseline, its positive controls."""
    recipes = results.study["recipes"]
    positive = {recipe["name"] for recipe in recipes if recipe["control"] == "positive"}
    return {"", recipes[0]["name"], *positive}


def _doubts(results: Results, findings: Sequence[Finding]) -> list[Doubt]:
    """What failed, recipe by recipe, and what is in doubt; serious ones first."""
    failed = [one for one in findings if one.verdict == FAILED]
    recipes = {recipe["name"]: recipe for recipe in results.study["recipes"]}
    found = [_broken(recipes.get(name), own) for name, own in _grouped(failed).items()]
    doubts = [one for one in findings if one.verdict in ("doubt", "not tried")]
    of_all = [one for one in doubts if not one.recipe]
    each = [one for one in doubts if one.recipe]
    found += [Doubt(f"{one.sentence}.", serious=False) for one in of_all]
    if len(each) <= _TOLD:
        return [
            *sorted(found, key=lambda one: not one.serious),
            *(Doubt(f"{recipes[d.recipe]['title']}: {d.sentence}.", serious=False) for d in each),
        ]
    checks = ", ".join(dict.fromkeys(one.check.replace("_", " ") for one in each))
    names = {one.recipe for one in each}
    kind = "network" if results.given else "recipe"
    who = f"{len(names)} {kind}{'s' * (len(names) > 1)}"
    told = f"{len(each)} further doubts about {who} stand below: {checks}."
    return [*sorted(found, key=lambda one: not one.serious), Doubt(told, serious=False)]


def _grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.recipe, []).append(one)
    return found


def _broken(recipe: Mapping[str, Any] | None, own: Sequence[Finding]) -> Doubt:
    """What failed of a recipe, or of the whole study, in one sentence or two."""
    first = next((one for one in own if one.check == _SHOWS), own[0])
    others = ", ".join(dict.fromkeys(one.check.replace("_", " ") for one in own if one != first))
    also = f" Also failed: {others}." if others else ""
    next_ = f" Next: {first.advice}." if first.advice else ""
    if recipe is None:
        return Doubt(f"{first.sentence}.{also}{next_}", serious=True)
    said = f"{recipe['title']}: {first.sentence}.{also}"
    if recipe["control"] == "sham":
        return Doubt(f"The sham control fails the audit, as it should. {said}", serious=False)
    return Doubt(f"{said}{next_}", serious=True)
