"""Too few networks of each recipe."""

from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.statistics import FEWEST_SEEDS


def seeds(evidence: Evidence) -> list[Finding]:
    """Whether there are as many seeds as a verdict on a way to train needs.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 4, on variance.
    """
    if evidence.study.given:
        return []
    few = min((len(recipe.seeds) for recipe in evidence.results.recipes), default=0)
    if few >= FEWEST_SEEDS:
        return [Finding("seeds", "ok", f"{few} seeds a recipe", few)]
    sentence = (
        f"{few} of at least {FEWEST_SEEDS} seeds: networks trained alike differ by chance, and "
        "this is too few to tell that from an effect"
    )
    return [Finding("seeds", "doubt", sentence, few, advice=f"--seeds {FEWEST_SEEDS}")]
