"""Nothing but the attack of the training was tried."""

from unfooled import defence
from unfooled.check import Evidence
from unfooled.finding import Finding

_FOLLOW = ("fgsm", "pgd", "mifgsm")  # the gradient of the cross-entropy, as trainings do


def other_attacks(evidence: Evidence) -> list[Finding]:
    """Whether a network that learned from attacked images met an attack of another kind.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, sections 4 and 5.2.
    """
    attacks = [sweep for _, sweep in evidence.attacks()]
    others = [sweep.title for sweep in attacks if sweep.attack not in (*_FOLLOW, "noise")]
    found = []
    for recipe in evidence.study.recipes:
        loss = defence.find(recipe.defence[0], **recipe.defence[1])
        own = loss.all_options.get("attack", "")
        if loss.threat is None or not loss.passes:  # it learns from no attacked images
            continue
        new = [title for title in others if title != own]
        sentence = f"other than its training: {', '.join(new) or 'no attack'}"
        verdict, advice = ("ok", "") if new else ("doubt", 'add the attack "autoattack"')
        found.append(Finding("other_attacks", verdict, sentence, None, recipe.name, advice))
    return found
