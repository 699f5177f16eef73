"""A training forgot its robustness on the way."""

from unfooled.check import Evidence
from unfooled.finding import Finding


def overfitting(evidence: Evidence) -> list[Finding]:
    """Whether a training showed catastrophic overfitting: robust to one step, not to several.

    Source: Wong et al. 2020, https://arxiv.org/abs/2001.03994, section 5.
    """
    found = []
    for recipe in evidence.results.recipes:
        history = recipe.history[0] if recipe.history else ()
        watched = bool(history) and history[-1]["several_steps"] is not None
        if not watched and not recipe.overfitted:
            continue
        sentence = (
            f"catastrophic overfitting in {len(recipe.overfitted)} of {len(recipe.seeds)} trainings"
        )
        verdict, advice = "ok", ""
        if recipe.overfitted:
            verdict, advice = "doubt", "give the defence more steps"
            sentence += "; they went on from before it with twice the steps"
        value = len(recipe.overfitted)
        found.append(Finding("overfitting", verdict, sentence, value, recipe.name, advice))
    return found
