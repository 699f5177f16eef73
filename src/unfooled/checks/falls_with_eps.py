"""Robust accuracy does not fall as the attacker may do more."""

from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.outcomes import WORST
from unfooled.probing import ANYWHERE
from unfooled.results import RecipeResult
from unfooled.wording import percent

_MUCH = 0.2  # accuracy that must be left for it to be strange
_TIMES = 2.0  # by which the largest eps must be above the smallest


def falls_with_eps(evidence: Evidence) -> list[Finding]:
    """Whether the worst case falls between the smallest and the largest eps of the study.

    What does not fall need not be strange: it may be certified, or all eps so small that nothing
    falls yet. Then an attack that may do anything still finds its way.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5.4.
    """
    found, norm = [], evidence.study.threat.norm
    places = {recipe.name: index for index, recipe in enumerate(evidence.study.recipes)}
    for recipe in evidence.results.recipes:
        curve = recipe.curve(WORST, norm)
        first, last = next(eps for eps in curve.eps if eps), curve.eps[-1]
        high, low = curve.at(first).value, curve.at(last).value
        if last < _TIMES * first:
            continue
        sentence = f"from {percent(high)} at eps {first:g} to {percent(low)} at eps {last:g}"
        flat = low >= high > _MUCH
        why = _explained(evidence, places[recipe.name], recipe, last) if flat else ""
        sentence += f"; {why}" if why else ""
        strange = flat and not why
        advice = 'look at the gradient: unfooled doctor; add "square"' if strange else ""
        verdict = "doubt" if strange else "ok"
        found.append(Finding("falls_with_eps", verdict, sentence, high - low, recipe.name, advice))
    return found


def _explained(evidence: Evidence, place: int, recipe: RecipeResult, eps: float) -> str:
    """Why a network may stand there as it does at smaller eps; "" where nothing says so."""
    shown = recipe.bracket
    if shown is not None and shown.norm == evidence.study.threat.norm and eps in shown.eps:
        at = shown.eps.index(eps)
        if shown.certified[at].value >= shown.attacked[at].value:
            return "all that stands there is certified"
    networks = evidence.probed(place)
    if networks and not any(one.astray or one.stuck.any() for one in networks):
        return f"at {ANYWHERE} an attack finds its way, so that these eps are small ones"
    return ""
