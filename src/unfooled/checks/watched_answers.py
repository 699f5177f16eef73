"""A network answers otherwise when a gradient is asked for."""

from unfooled.check import Evidence, said, weighed
from unfooled.finding import ROUNDING, Finding


def watched_answers(evidence: Evidence) -> list[Finding]:
    """Whether the answers stay the same while a gradient is asked for.

    An attack that follows the gradient is else shown another network than the judge. Of a random
    network it cannot be told.

    Source: "adaptive to the attacker", Carlini et al. 2019, https://arxiv.org/abs/1902.06705,
    section 4.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        networks = evidence.probed(index)
        if not networks or any((one.repeated > ROUNDING).any() for one in networks):
            continue
        # Layers may be computed in another order where a gradient is kept.
        flags = [one.watched > 10 * ROUNDING for one in networks]
        verdict, share = weighed(flags, evidence.study.margin)
        sentence = f"{said(share)} of the probed images get another answer under a gradient"
        advice = 'ask without gradients: add the attacks "square" and "transfer"'
        advice = "" if verdict == "ok" else advice
        name = "watched_answers"
        found.append(Finding(name, verdict, sentence, share.value, recipe.name, advice))
    return found
