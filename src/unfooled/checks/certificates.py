"""An image that is shown to stand was fooled."""

import numpy as np
from numpy.typing import NDArray

from unfooled.certified import Certified
from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.probing import PROBES


def certificates(evidence: Evidence) -> list[Finding]:
    """Whether attacks, probes and certificates agree: what was fooled cannot be shown to stand.

    An attack of the study is spared where an image is certified, so that it is the probes that try
    those images.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        own = [(key, one) for key, one in evidence.certificates.items() if key[0] == index]
        wrong = sum(len(_fooled(evidence, key, shown)) for key, shown in own)
        if own:
            sentence = f"{wrong:,} fooled images had been shown to stand"
            verdict = "failed" if wrong else "ok"
            advice = "the bounds are wrong, or the network is another one" if wrong else ""
            found.append(Finding("certificates", verdict, sentence, wrong, recipe.name, advice))
    return found


def _fooled(evidence: Evidence, network: tuple[int, int], shown: Certified) -> NDArray[np.int64]:
    """The ids of the images that are shown to stand where an attack or a probe fooled them."""
    fallen = []
    for (recipe, seed, _), facts in evidence.facts.items():
        if (recipe, seed) == network and facts.threats[0].norm == shown.norm:
            fallen += [
                (facts.ids[facts.fooled[row]], threat.eps)
                for row, threat in enumerate(facts.threats)
            ]
    probed = evidence.probes.get(network)
    if probed is not None and probed.norm == shown.norm:
        fallen.append((probed.ids[probed.fooled_by(*PROBES)], probed.eps))
    wrong = [np.intersect1d(shown.ids[shown.within(eps)], ids) for ids, eps in fallen]
    return np.unique(np.concatenate(wrong)) if wrong else np.array([], dtype=np.int64)
