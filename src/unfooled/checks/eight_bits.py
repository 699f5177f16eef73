"""Adversarial images are lost when they are saved."""

from unfooled.check import Evidence
from unfooled.finding import Finding


def eight_bits(evidence: Evidence) -> list[Finding]:
    """Whether images that fool still do so when a file of 8 bits a pixel holds them."""
    found, eps, margin = [], evidence.study.answer_eps, evidence.study.margin
    for index, recipe in enumerate(evidence.study.recipes):
        places = {place for place, _ in evidence.attacks()}
        lost = []
        for (of, _, place), one in sorted(evidence.facts.items()):
            row = sum(threat.eps <= eps for threat in one.threats) - 1
            if of == index and place in places and row >= 0:
                lost.append(float((one.fooled[row] & ~one.fooled_at_8bit[row]).mean()))
        if not lost:
            continue
        most = max(lost)
        sentence = f"at most {100 * most:.1f} % of an attack's images no longer fool as a file"
        verdict = "doubt" if most > margin else "ok"
        advice = "say that the numbers hold for images of 32 bits" if verdict != "ok" else ""
        found.append(Finding("eight_bits", verdict, sentence, most, recipe.name, advice))
    return found
