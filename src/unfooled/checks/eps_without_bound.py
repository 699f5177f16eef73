"""Accuracy is left where any image can become any other."""

from unfooled.check import Evidence, said, weighed
from unfooled.finding import Finding
from unfooled.probing import ANYWHERE


def eps_without_bound(evidence: Evidence) -> list[Finding]:
    """Whether images stand at Linf 0.5, where every image can become the same grey one.

    An attack that leaves some there cannot follow the gradient. Where the study has no attack that
    does without one, the numbers are then not to be believed; elsewhere it is a doubt.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5.4; Athalye et al. 2018,
    https://arxiv.org/abs/1802.00420, section 3.1.
    """
    found, blind = [], not evidence.attacks("scores") and not evidence.attacks("decisions")
    for index, recipe in enumerate(evidence.study.recipes):
        networks = evidence.probed(index)
        if not networks:
            continue
        left = [one.correct & (one.anywhere == one.labels) for one in networks]
        verdict, share = weighed(left, evidence.study.margin)
        verdict = "doubt" if verdict == "failed" and not blind else verdict
        sentence = f"{said(share)} of the probed images stand at {ANYWHERE}, where none can"
        advice = "" if verdict == "ok" else 'look at the gradient: unfooled doctor; add "square"'
        name = "eps_without_bound"
        found.append(Finding(name, verdict, sentence, share.value, recipe.name, advice))
    return found
