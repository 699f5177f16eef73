"""A network that is asked twice answers differently."""

import numpy as np

from unfooled.check import Evidence, said, weighed
from unfooled.finding import ROUNDING, Finding


def random_answers(evidence: Evidence) -> list[Finding]:
    """Whether the same images get the same answers when they are shown again.

    Else an image stands or falls by luck, and no attack can follow a gradient that is drawn anew.

    Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 3.1; Carlini et al. 2019,
    https://arxiv.org/abs/1902.06705, section 5.3.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        networks = evidence.probed(index)
        if not networks:
            continue
        flags = [one.repeated > ROUNDING for one in networks]
        verdict, share = weighed(flags, evidence.study.margin)
        changed = np.mean([(one.clean != one.clean[:1]).any(axis=0) for one in networks])
        sentence = (
            f"{said(share)} of the probed images get another answer when they are shown again, "
            f"{100 * float(changed):.1f} % another class"
        )
        advice = (
            "attack and judge the mean of several answers: a preprocessor with RANDOM = True, or "
            "obfuscated.eot"
        )
        advice = "" if verdict == "ok" else advice
        name = "random_answers"
        found.append(Finding(name, verdict, sentence, share.value, recipe.name, advice))
    return found
