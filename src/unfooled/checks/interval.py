"""An interval is wider than the effect."""

from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.outcomes import WORST
from unfooled.statistics import FEWEST_SEEDS, LEVEL
from unfooled.wording import points, points_interval


def interval(evidence: Evidence) -> list[Finding]:
    """Whether each change is larger than half its interval, or the whole interval is negligible."""
    found, study = [], evidence.study
    for recipe in evidence.results.recipes[1:]:
        one = evidence.results.compared(recipe.name, WORST, study.answer_eps)
        if one is None or one.difference.seeds < FEWEST_SEEDS:
            continue
        change = one.difference
        half = (change.high - change.low) / 2
        negligible = max(abs(change.low), abs(change.high)) <= study.margin
        wide = not negligible and abs(change.value) < half
        sentence = (
            f"a change of {points(change.value)} points, in {100 * LEVEL:.0f} of 100 cases "
            f"{points_interval(change)}"
        )
        verdict, advice = ("doubt", "more seeds, or more images") if wide else ("ok", "")
        found.append(Finding("interval", verdict, sentence, half, recipe.name, advice))
    return found
