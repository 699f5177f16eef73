"""An attack saw an image misread that the judge reads correctly."""

from unfooled.check import Evidence, said, weighed
from unfooled.finding import Finding


def silent_success(evidence: Evidence) -> list[Finding]:
    """Whether the judge agrees with what was seen at the end of an attack.

    The attack was told that its image is misread, and the judge reads it correctly: the answer is
    random, or depends on the images beside it or on who asks.

    Source: Pintor et al. 2022, https://arxiv.org/abs/2106.09947, indicator "silent success".
    """
    found, eps = [], evidence.study.answer_eps
    for index, recipe in enumerate(evidence.study.recipes):
        for place, sweep in evidence.attacks():
            own = [
                one
                for (of, _, at), one in sorted(evidence.facts.items())
                if (of, at) == (index, place) and any(t.eps <= eps for t in one.threats)
            ]
            if not own:
                continue
            rows = [sum(t.eps <= eps for t in one.threats) - 1 for one in own]
            flags = [
                (one.until[row] >= 0) & ~one.fooled[row] & one.inside[row]
                for row, one in zip(rows, own, strict=True)
            ]
            verdict, share = weighed(flags, evidence.study.margin)
            if verdict != "ok":
                sentence = f"{sweep.title} saw {said(share)} of its images misread, the judge not"
                advice = "look for chance in the network, or for answers that depend on the batch"
                name = "silent_success"
                found.append(Finding(name, verdict, sentence, share.value, recipe.name, advice))
    return found
