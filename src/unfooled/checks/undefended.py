"""An undefended baseline stands."""

from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.outcomes import WORST
from unfooled.wording import percent

_LARGE, _MUCH = 0.25, 0.2  # half-way to grey; what may be left there


def undefended(evidence: Evidence) -> list[Finding]:
    """Whether the baseline falls at the largest eps under Linf, as a network without defence does.

    Linf only: a grey image is 0.5 away, so half of that leaves little to read.
    """
    if evidence.study.given:
        return []
    baseline = evidence.results.recipes[0]
    found = []
    for curve in baseline.curves:
        if (curve.attack, curve.norm) != (WORST, "Linf") or curve.eps[-1] < _LARGE:
            continue
        left = curve.robust[-1].value
        sentence = (
            f"the baseline still reads {percent(left)} of the images at Linf {curve.eps[-1]:g}"
        )
        verdict, advice = "ok", ""
        if left > _MUCH:
            verdict, advice = "failed", 'add the attack "autoattack"'
            sentence += "; an undefended network should not"
        found.append(Finding("undefended", verdict, sentence, left, baseline.name, advice))
    return found
