"""The answer in words, and the doubts about it: pure functions of `Results`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unfooled import transform
from unfooled.outcomes import WORST
from unfooled.results import Comparison, RecipeResult, Results
from unfooled.statistics import CANNOT_TELL, FEWEST_SEEDS, HELPS, HURTS, NO_DIFFERENCE, Estimate
from unfooled.wording import percent, points

_ONLY_DOSES = "The figures of the doses hold the answer."
_LISTED = 6  # recipes that a sentence can hold one by one


@dataclass(frozen=True)
class Doubt:
    """A reason not to believe a number.

    Attributes:
        sentence: what was found, with its numbers.
        serious: whether the verdict is withheld because of it.
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


def answer(results: Results, classes: Sequence[str] = ()) -> Answer:
    """The answer at the study's eps, under the worst case of its attacks.

    Args:
        results: the numbers.
        classes: their names, for transformations that turn one class into another.
    """
    found = [*_doubts(results), *_unfitting(results, classes)]
    doubts = tuple(sorted(found, key=lambda doubt: not doubt.serious))
    asked = _asked(results)
    baseline = results.recipes[0]
    eps = float(results.study["answer_eps"])
    stands = f"{percent(_worst(baseline, results.norm, eps).value)} of the attacked images"
    where = f"At eps {eps:g}, where {quoted(baseline)} reads {stands} correctly"
    seeds = min((one.difference.seeds for one in asked), default=0)
    images = asked[0].difference.images if asked else 0
    counted = f"{seeds} {'seed' if seeds == 1 else 'seeds'}, {images:,} images"
    basis = f"{counted}, 95\N{NO-BREAK SPACE}% intervals"
    clauses = [_clause(one, results.recipe(one.second)) for one in asked]
    if len(asked) > _LISTED:
        clauses = _counted(asked, results)
    nothing = _ONLY_DOSES if results.study["doses"] else "Nothing was compared."
    sentence = f"{where}, {_listed(clauses)} ({basis})." if clauses else nothing
    if any(doubt.serious for doubt in doubts):
        return Answer("Not shown.", f"The verdict is withheld. {sentence}", doubts)
    return Answer(_short([one.verdict for one in asked]), sentence, doubts)


def quoted(recipe: RecipeResult) -> str:
    """A recipe's title in quotation marks: it may hold commas."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{recipe.title}\N{RIGHT DOUBLE QUOTATION MARK}"


def points_interval(estimate: Estimate) -> str:
    """An interval as "-9.9 to -5.0", in percentage points."""
    return f"{points(estimate.low)} to {points(estimate.high)}"


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
    title = quoted(recipe)
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
            most = f"most of all {quoted(results.recipe(one.second))} ({change})"
            parts.append(f"{len(by)} {word if len(by) == 1 else word.removesuffix('s')}, {most}")
    same = sum(one.verdict == NO_DIFFERENCE for one in asked)
    if same:
        makes = "makes" if same == 1 else "make"
        parts.append(f"{same} {makes} no difference beyond {100 * _margin(results):g} points")
    untold = sum(one.verdict == CANNOT_TELL for one in asked)
    parts += [f"for {untold} it cannot be told"] if untold else []
    return [f"of {len(asked)} recipes {_listed(parts)}"]


def _margin(results: Results) -> float:
    return float(results.study["margin"])


def _short(verdicts: Sequence[str]) -> str:
    """Words that stand by themselves, whatever the question was."""
    kinds = set(verdicts)
    if kinds == {HELPS}:
        return "Harder to fool."
    if HELPS in kinds:
        return "It depends on which."
    if kinds == {HURTS}:
        return "Easier to fool."
    if kinds and kinds <= {HURTS, NO_DIFFERENCE}:
        return "Not harder to fool."
    return "Cannot tell."


def _listed(clauses: Sequence[str]) -> str:
    return ", and ".join([", ".join(clauses[:-1]), clauses[-1]] if len(clauses) > 1 else clauses)


def _doubts(results: Results) -> list[Doubt]:
    return [doubt for look in _LOOKS for doubt in look(results)]


def _unfitting(results: Results, classes: Sequence[str]) -> list[Doubt]:
    """Transformations after which an image may no longer be what its label says."""
    found = []
    for recipe in results.study["recipes"]:
        for name, _ in recipe["transforms"]:
            why = transform.doubt(name, classes)
            found += [Doubt(f"{recipe['title']}: {why}", serious=False)] if why else []
    return found


def _few_seeds(results: Results) -> list[Doubt]:
    seeds = min((len(recipe.seeds) for recipe in results.recipes), default=0)
    if seeds >= FEWEST_SEEDS:
        return []
    return [
        Doubt(
            f"{seeds} of at least {FEWEST_SEEDS} seeds: networks trained alike differ by chance, "
            "and this is too few to tell that from an effect.",
            serious=False,
        )
    ]


def _holes(results: Results) -> list[Doubt]:
    if not results.missing:
        return []
    names = ", ".join(results.missing)
    return [Doubt(f"{len(results.missing)} networks have no result: {names}.", serious=True)]


def _controls(results: Results) -> list[Doubt]:
    """The positive control must help and the sham must not."""
    eps, margin = float(results.study["answer_eps"]), float(results.study["margin"])
    found = []
    for recipe in results.recipes[1:]:
        one = results.compared(recipe.name, WORST, eps)
        if one is None or one.difference.seeds < FEWEST_SEEDS:
            continue
        change = f"{points(one.difference.value)} points ({points_interval(one.difference)})"
        if recipe.control == "positive" and one.verdict != HELPS:
            found.append(
                Doubt(
                    f"The positive control, {recipe.title}, did not help: {change}.", serious=True
                )
            )
        if recipe.control == "sham" and one.verdict == HELPS and one.difference.low > margin:
            found.append(
                Doubt(
                    f"The sham control, {recipe.title}, seems to help: {change}. It is known to "
                    "blunt gradient attacks, so the attacks here may be too weak to tell a real "
                    "gain of this size from an apparent one.",
                    serious=False,
                )
            )
    return found


def _overfitted(results: Results) -> list[Doubt]:
    return [
        Doubt(
            f"{recipe.title}: catastrophic overfitting in {len(recipe.overfitted)} of "
            f"{len(recipe.seeds)} trainings; they went on from before it with twice the steps.",
            serious=False,
        )
        for recipe in results.recipes
        if recipe.overfitted
    ]


def _weak_attack(results: Results) -> list[Doubt]:
    return [
        Doubt(
            f"{title} missed {count:,} pairs of image and network that an attack of one step "
            "fooled; the worst case counts them as fooled.",
            serious=False,
        )
        for title, count in results.weaker.items()
        if count
    ]


def _outside_threat(results: Results) -> list[Doubt]:
    return [
        Doubt(
            f"{title} returned {count:,} images outside eps or [0, 1]; they count as not fooled.",
            serious=True,
        )
        for title, count in results.outside.items()
    ]


def _undefended_stands(results: Results) -> list[Doubt]:
    """A network without defence falls at the largest eps, or the attack is broken."""
    baseline = results.recipes[0]
    found = []
    for curve in baseline.curves:
        # Linf only: a grey image is 0.5 away, so half of that leaves little to read.
        if (curve.attack, curve.norm) != (WORST, "Linf"):
            continue
        if curve.eps[-1] >= 0.25 and curve.robust[-1].value > 0.2:
            found.append(
                Doubt(
                    f"The baseline still reads {percent(curve.robust[-1].value)} of the images at "
                    f"{curve.norm} eps {curve.eps[-1]:g}; an undefended network should not.",
                    serious=True,
                )
            )
    return found


_LOOKS: tuple[Callable[[Results], list[Doubt]], ...] = (
    _holes,
    _outside_threat,
    _undefended_stands,
    _controls,
    _few_seeds,
    _overfitted,
    _weak_attack,
)
