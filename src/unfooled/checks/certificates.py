"""An image that is shown to stand was fooled."""

import numpy as np

from unfooled.check import Evidence
from unfooled.finding import Finding


def certificates(evidence: Evidence) -> list[Finding]:
    """Whether attacks and certificates agree: what was fooled cannot be shown to stand."""
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        own = [(key, one) for key, one in evidence.certificates.items() if key[0] == index]
        wrong = 0
        for key, shown in own:
            for (of, seed, place), facts in evidence.facts.items():
                if (of, seed) != key or evidence.study.sweeps[place].norm != shown.norm:
                    continue
                _, here, there = np.intersect1d(shown.ids, facts.ids, return_indices=True)
                for row, threat in enumerate(facts.threats):
                    stands = shown.within(threat.eps)[here]
                    wrong += int((stands & facts.fooled[row][there]).sum())
        if own:
            sentence = f"{wrong:,} fooled images had been shown to stand"
            verdict = "failed" if wrong else "ok"
            advice = "the bounds are wrong, or the network is another one" if wrong else ""
            found.append(Finding("certificates", verdict, sentence, wrong, recipe.name, advice))
    return found
