"""There is no control, or one did not behave."""

from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.outcomes import WORST
from unfooled.statistics import FEWEST_SEEDS, HELPS
from unfooled.wording import points, points_interval


def controls(evidence: Evidence) -> list[Finding]:
    """Whether the positive control helps and the sham control does not."""
    found, study = [], evidence.study
    if study.given:
        return []
    kinds = {recipe.control for recipe in study.recipes}
    missing = [kind for kind in ("positive", "sham") if kind not in kinds]
    if missing:
        sentence = f"There is no {' and no '.join(missing)} control"
        advice = 'give a recipe that must help control = "positive", one that must not "sham"'
        found.append(Finding("controls", "not tried", sentence, advice=advice))
    for recipe in evidence.results.recipes[1:]:
        one = evidence.results.compared(recipe.name, WORST, study.answer_eps)
        if one is None or not recipe.control or one.difference.seeds < FEWEST_SEEDS:
            continue
        change = f"{points(one.difference.value)} points ({points_interval(one.difference)})"
        verdict, advice = "ok", ""
        sentence = f"as a {recipe.control} control should: {change}"
        if recipe.control == "positive" and one.verdict != HELPS:
            verdict, advice = "failed", "look at its training, or give it a larger eps"
            sentence = f"the positive control did not help: {change}"
        if recipe.control == "sham" and one.verdict == HELPS and one.difference.low > study.margin:
            verdict, advice = "doubt", 'add a stronger attack, such as "autoattack"'
            sentence = (
                f"the sham control seems to help: {change}; it is known to blunt gradient attacks, "
                "so the attacks may be too weak to tell a real gain of this size from an apparent "
                "one"
            )
        value = one.difference.value
        found.append(Finding("controls", verdict, sentence, value, recipe.name, advice))
    return found
