"""An attack of many steps misses what a single step finds."""

import numpy as np

from unfooled import attack
from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.outcomes import common


def single_step(evidence: Evidence) -> list[Finding]:
    """Whether noise or one step fooled images that an attack of many steps did not.

    Under the same norm and eps, image by image. The worst case counts them as fooled, so that it is
    a doubt about the attack rather than about the number.

    Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 3.1; Carlini et al. 2019,
    https://arxiv.org/abs/1902.06705, section 5.1.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        counts = _missed(evidence, index)
        for title, (count, n) in counts.items():
            sentence = (
                f"{title} missed {count:,} of {n:,} pairs of image and network at some eps that "
                "noise or an attack of one step fooled"
            )
            sentence += "; the worst case counts them as fooled" if count else ""
            verdict, advice = "ok", ""
            if count:
                verdict, advice = "doubt", "give it more steps or restarts, or look for masking"
            found.append(Finding("single_step", verdict, sentence, count / n, recipe.name, advice))
    return found


def _missed(evidence: Evidence, recipe: int) -> dict[str, tuple[int, int]]:
    """For each attack of many steps: pairs that it missed, and pairs that both attacks met."""
    counts: dict[str, tuple[int, int]] = {}
    study = evidence.study
    found = [attack.find(sweep.attack, **sweep.options) for sweep in study.sweeps]
    for (of, seed, strong), evaluation in evidence.facts.items():
        used = study.sweeps[strong]
        if of != recipe or found[strong].cost == 1 or used.targets or used.uses_surrogates:
            continue
        for weak, other_sweep in enumerate(study.sweeps):
            other = evidence.facts.get((recipe, seed, weak))
            alike = other_sweep.norm == used.norm and not other_sweep.targets
            if found[weak].cost > 1 or other is None or not alike:
                continue
            ids = common([evaluation, other])
            missed = np.zeros(len(ids), dtype=bool)
            for row, threat in enumerate(evaluation.threats):
                if threat in other.threats:
                    stood = other.robust[other.threats.index(threat)]
                    kept = evaluation.robust[row][np.searchsorted(evaluation.ids, ids)]
                    missed |= kept & ~stood[np.searchsorted(other.ids, ids)]
            before, n = counts.get(used.title, (0, 0))
            counts[used.title] = (before + int(missed.sum()), n + len(ids))
    return {title: pair for title, pair in counts.items() if pair[1]}
