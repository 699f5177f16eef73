"""What a check is: one reason not to believe a study's numbers, looked for in its facts.

Every file in `checks/` holds a function of its own name:

    def name(evidence: Evidence) -> list[Finding]

It is a pure function of facts and asks no network. It returns a finding for each recipe that it
looked at, or one for the whole study, in a sentence with its numbers; none where there was nothing
to look at. `finding.py` says what the verdicts mean. "failed" withholds a verdict, so it is kept
for what is shown: the lower end of an interval lies above the study's margin, or there is no result
at all.

The checks are neither necessary nor sufficient: a number may be wrong where all are ok, and right
where one is in doubt. Sources: Carlini et al. 2019, https://arxiv.org/abs/1902.06705; Pintor et al.
2022, https://arxiv.org/abs/2106.09947.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unfooled import attack, catalog, outcomes, statistics
from unfooled.certified import Certified
from unfooled.finding import Finding
from unfooled.outcomes import Facts
from unfooled.probed import Probed
from unfooled.results import Results
from unfooled.statistics import Estimate
from unfooled.study import Study, Sweep
from unfooled.wording import percent

ORDER = ("failed", "refused", "doubt", "not tried", "fixed", "ok")  # of the verdicts, worst first
_TRANSLATED = {"refused": "failed", "fixed": "ok"}

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Beside:
    """One network: what its probes found beside what the study's attacks found.

    Attributes:
        probed: the facts of the probes.
        rows: of the images that all attacks of the study met, within `probed`.
        stands: whether each of these stands against all attacks of the study.
        followed: whether each of these fell to one that knows gradients.
    """

    probed: Probed
    rows: NDArray[np.int64]
    stands: Flags
    followed: Flags

    def by(self, *names: str) -> Flags:
        """Whether one of these probes fooled each image."""
        return np.asarray(self.probed.fooled_by(*names)[self.rows])


@dataclass(frozen=True)
class Evidence:
    """All that a check may look at.

    Attributes:
        study: what was asked.
        results: its numbers.
        facts: of each attack, by recipe, seed and sweep.
        probes, certificates: by recipe and seed.
        classes: the names of the data's classes.
    """

    study: Study
    results: Results
    facts: Facts
    probes: Mapping[tuple[int, int], Probed] = field(default_factory=dict)
    certificates: Mapping[tuple[int, int], Certified] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def probed(self, recipe: int) -> list[Probed]:
        """The probes of a recipe's networks."""
        return [one for (of, _), one in sorted(self.probes.items()) if of == recipe]

    def attacks(self, knows: str = "") -> list[tuple[int, Sweep]]:
        """The attacks under which the question is answered (of those that know so much)."""
        found = outcomes.untargeted(self.study, self.study.threat.norm)
        if not knows:
            return found
        return [(p, s) for p, s in found if attack.find(s.attack, **s.options).knows == knows]

    def beside(self, recipe: int) -> list[Beside]:
        """The networks of a recipe of which there are both probes and attacks."""
        found = []
        for (of, seed), probed in sorted(self.probes.items()):
            places = [place for place, _ in self.attacks()]
            if of != recipe or any((recipe, seed, place) not in self.facts for place in places):
                continue
            ids = outcomes.common([self.facts[recipe, seed, place] for place in places])
            both = np.intersect1d(ids, probed.ids)
            threat = self.study.threat
            stands = outcomes.worst(self.study, self.facts, recipe, seed, threat.norm, threat.eps)
            white = np.zeros(len(both), dtype=bool)
            for place, _ in self.attacks("gradients"):
                one = self.facts[recipe, seed, place]
                under = [row for row, t in enumerate(one.threats) if t.eps <= threat.eps]
                if under:
                    white |= one.fooled[under[-1]][np.searchsorted(one.ids, both)]
            rows, own = np.searchsorted(probed.ids, both), np.searchsorted(ids, both)
            found.append(Beside(probed, rows, stands[own], white))
        return [one for one in found if len(one.rows)]


def audit(evidence: Evidence) -> tuple[Finding, ...]:
    """What all checks come to, the worst first, in the order of their names."""
    found = [finding for name in catalog.names("checks") for finding in function(name)(evidence)]
    return tuple(sorted(found, key=lambda one: ORDER.index(one.verdict)))


def function(name: str) -> Callable[[Evidence], list[Finding]]:
    """The check of that name."""
    return catalog.function("checks", name)


def weighed(flags: Sequence[Flags], margin: float) -> tuple[str, Estimate]:
    """The verdict on a share of images that should be none, and the share.

    The networks are those of the study and no sample of others, so that chance lies in the images
    alone: each counts with its mean over the networks.

    Args:
        flags: for each network, whether each image tells against the study's numbers.
        margin: the study's.
    """
    share = statistics.share(np.stack(flags).mean(axis=0, keepdims=True))
    verdict = "failed" if share.low > margin else "doubt" if share.value else "ok"
    return verdict, share


def said(share: Estimate) -> str:
    """A share with its interval."""
    return f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})"


def fallen(
    evidence: Evidence,
    check: str,
    needs: Sequence[str],
    flags: Callable[[Beside], Flags],
    words: str,
    advice: str,
) -> list[Finding]:
    """A share of the probed images for each recipe with probes, weighed by the study's margin.

    Args:
        check: the name of the one that asks.
        needs: probes; where none of them ran, nothing can be said.
        flags: whether each image of a network tells against the study's numbers.
        words: what such images do.
        advice: where there are any.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        networks = evidence.beside(index)
        if not networks:
            continue
        if not any(one.probed.ran(name) for one in networks for name in needs):
            sentence = f"no probe could be made: {networks[0].probed.error(*needs)}"
            found.append(Finding(check, "not tried", sentence, recipe=recipe.name))
            continue
        verdict, share = weighed([flags(one) for one in networks], evidence.study.margin)
        sentence = f"{said(share)} of the probed images {words}"
        next_ = "" if verdict == "ok" else advice
        found.append(Finding(check, verdict, sentence, share.value, recipe.name, next_))
    return found


def examined(evidence: Evidence, check: str, names: Sequence[str], advice: str) -> list[Finding]:
    """What the doctor says to these, recipe by recipe: the worst of its networks.

    Args:
        check: the name of the one that asks.
        names: of the doctor's checks.
        advice: where it is not ok.
    """
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        own = [one for p in evidence.probed(index) for one in p.findings if one.check in names]
        if not own:
            continue
        worst = min(own, key=lambda one: ORDER.index(one.verdict))
        verdict = _TRANSLATED.get(worst.verdict, worst.verdict)
        alike = sum(one.check == worst.check and one.verdict == worst.verdict for one in own)
        networks = len(evidence.probed(index))
        sentence = f"{worst.check}: {worst.sentence} (so in {alike} of {networks} networks)"
        if verdict == "ok":
            sentence = f"{', '.join(dict.fromkeys(one.check for one in own))}: nothing was found"
        next_ = "" if verdict == "ok" else advice
        found.append(Finding(check, verdict, sentence, worst.value, recipe.name, next_))
    return found
