"""A probe fools images that stand against all attacks of the study."""

import numpy as np

from unfooled.check import Beside, Evidence, said, weighed
from unfooled.finding import Finding
from unfooled.probing import PROBES

_ADVICE = {
    "random": 'add the attack "noise", and look for what keeps the others from moving',
    "square": 'add the attack "square" or "autoattack"',
    "margin": 'add the attack "autoattack"',
    "as is": 'give the attack "pgd" restarts, or add "autoattack"',
    "rescaled": 'divide the logits by their spread, or add the attack "autoattack"',
    "shifted": 'take the common offset from the logits, or add the attack "autoattack"',
    "averaged": "attack and judge the mean of several answers (obfuscated.eot, or a preprocessor "
    "with RANDOM = True)",
    "transfer": 'add the attack "transfer"',
    "differences": 'add the attack "spsa"',
}


def too_high(evidence: Evidence) -> list[Finding]:
    """Whether images that stand against every attack of the study fall to a probe.

    The same images, the same eps, image by image: where some do, the study's number is too high.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 4.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        networks = evidence.beside(index)
        if not networks:
            sentence = "there is no network with results and probes; run the study again"
            found.append(Finding("too_high", "not tried", sentence, recipe=recipe.name))
            continue
        if not any(one.probed.ran(name) for one in networks for name in PROBES):
            sentence = f"no probe could be made: {networks[0].probed.error(*PROBES)}"
            found.append(Finding("too_high", "not tried", sentence, recipe=recipe.name))
            continue
        fallen = [one.stands & one.by(*PROBES) for one in networks]
        verdict, share = weighed(fallen, evidence.study.margin)
        by = _by(networks)
        asked = " x ".join(map(str, np.shape(fallen)[::-1]))
        sentence = (
            f"of {asked} (images x networks) {int(np.sum(fallen))} stand against all attacks of "
            f"the study at {evidence.study.threat} and fall to a probe, {said(share)}"
            f"{': ' * bool(by)}{', '.join(f'{name} {count}' for name, count in by.items())}"
        )
        advice = _ADVICE[max(by, key=lambda name: by[name])] if by else ""
        found.append(Finding("too_high", verdict, sentence, share.value, recipe.name, advice))
    return found


def _by(networks: list[Beside]) -> dict[str, int]:
    """How many images that stand each probe fooled; those that fooled none are left out."""
    counts = {name: sum(int((n.stands & n.by(name)).sum()) for n in networks) for name in PROBES}
    return {name: count for name, count in counts.items() if count}
