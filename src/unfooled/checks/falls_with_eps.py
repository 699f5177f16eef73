"""Robust accuracy does not fall as the attacker may do more."""

from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.outcomes import WORST
from unfooled.wording import percent

_MUCH = 0.2  # accuracy that must be left for it to be strange
_TIMES = 2.0  # by which the largest eps must be above the smallest


def falls_with_eps(evidence: Evidence) -> list[Finding]:
    """Whether the worst case falls between the smallest and the largest eps of the study.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5.4.
    """
    found, norm = [], evidence.study.threat.norm
    for recipe in evidence.results.recipes:
        curve = recipe.curve(WORST, norm)
        first, last = next(eps for eps in curve.eps if eps), curve.eps[-1]
        high, low = curve.at(first).value, curve.at(last).value
        if last < _TIMES * first:
            continue
        sentence = f"from {percent(high)} at eps {first:g} to {percent(low)} at eps {last:g}"
        flat = low >= high > _MUCH
        advice = 'look at the gradient: unfooled doctor; add "square"' if flat else ""
        verdict = "doubt" if flat else "ok"
        found.append(Finding("falls_with_eps", verdict, sentence, high - low, recipe.name, advice))
    return found
