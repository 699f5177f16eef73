"""Accuracy is left where any image can become any other."""

from unfooled import attack
from unfooled.check import Evidence, said, weighed
from unfooled.finding import Finding
from unfooled.probing import ANYWHERE

_NAME = "eps_without_bound"
_SEARCH = "square"  # without gradients; autoattack ends with it wherever it works


def eps_without_bound(evidence: Evidence) -> list[Finding]:
    """Whether images stand at Linf 0.5, where every image can become the same grey one.

    Images of the class that the network reads in the grey one may stand; all others are fooled by
    it. An attack that leaves some of those cannot follow the gradient. Where the study has no
    attack that does without one, the numbers are then not to be believed; elsewhere it is a doubt.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5.4; Athalye et al. 2018,
    https://arxiv.org/abs/1802.00420, section 3.1.
    """
    found, blind = [], not _searched(evidence)
    for index, recipe in enumerate(evidence.study.recipes):
        networks = [one for one in evidence.probed(index) if not one.astray]
        kept = [one.astray for one in evidence.probed(index) if one.astray]
        if kept and not networks:
            sentence = f"no attack could be made at {ANYWHERE}: {kept[0].rstrip('.')}"
            found.append(Finding(_NAME, "not tried", sentence, recipe=recipe.name))
        if not networks:
            continue
        verdict, share = weighed([one.stuck for one in networks], evidence.study.margin)
        verdict = "doubt" if verdict == "failed" and not blind else verdict
        sentence = (
            f"{said(share)} of the probed images stand at {ANYWHERE}, where each can become a grey "
            "image that is read as another class"
        )
        advice = "" if verdict == "ok" else 'look at the gradient: unfooled doctor; add "square"'
        found.append(Finding(_NAME, verdict, sentence, share.value, recipe.name, advice))
    return found


def _searched(evidence: Evidence) -> bool:
    """Whether an attack of the study does without the gradient, at least in one of its parts."""
    if evidence.attacks("scores") or evidence.attacks("decisions"):
        return True
    composed = any(sweep.attack == "autoattack" for _, sweep in evidence.attacks())
    return composed and evidence.study.threat.norm in attack.find(_SEARCH).norms
