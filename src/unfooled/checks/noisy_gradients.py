"""The gradient points elsewhere a small step away."""

import numpy as np

from unfooled.check import Evidence, said, weighed
from unfooled.finding import Finding

_ADVICE = 'add attacks without gradients, "square" and "transfer", or smooth the gradient'
_STEADY = 0.8  # cosine of two gradients a tenth of eps apart; of common networks above 0.9


def noisy_gradients(evidence: Evidence) -> list[Finding]:
    """Whether an image's gradient is about that of the image a tenth of eps beside it.

    An attack that takes small steps cannot follow one which turns at each of them.

    Source: "shattered gradients", Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 3;
    Pintor et al. 2022, https://arxiv.org/abs/2106.09947, indicator "unstable predictions".
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        networks = evidence.probed(index)
        if not networks:
            continue
        if all(np.isnan(one.steady).all() for one in networks):
            sentence = "no gradient could be held against the one beside it"
            found.append(Finding("noisy_gradients", "not tried", sentence, recipe=recipe.name))
            continue
        verdict, share = weighed([one.steady < _STEADY for one in networks], evidence.study.margin)
        sentence = f"{said(share)} of the probed images have a gradient that turns within eps / 10"
        # By itself it says that an attack is hindered, not that anything was missed.
        verdict, advice = ("doubt", _ADVICE) if verdict == "failed" else ("ok", "")
        name = "noisy_gradients"
        found.append(Finding(name, verdict, sentence, share.value, recipe.name, advice))
    return found
