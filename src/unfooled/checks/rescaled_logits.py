"""The result changes when logits are multiplied or shifted."""

from unfooled.check import Beside, Evidence, Flags, fallen
from unfooled.finding import Finding

_SAID = (
    "stand against all attacks of the study, and fall to PGD once the logits are rescaled or "
    "shifted"
)
_ADVICE = 'divide the logits by their spread before the attack, or add the attack "autoattack"'


def rescaled_logits(evidence: Evidence) -> list[Finding]:
    """Whether an attack fools more once the logits are divided by their spread or shifted.

    Neither changes an answer. What changes the attack is a softmax that is so sure of itself that
    its gradient is lost in rounding.

    Source: Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, section 7; Pintor et al.
    2022, https://arxiv.org/abs/2106.09947, section 3.
    """
    return fallen(evidence, "rescaled_logits", ("rescaled", "shifted"), _flags, _SAID, _ADVICE)


def _flags(network: Beside) -> Flags:
    changed = network.by("rescaled", "shifted") & ~network.by("as is")
    return network.stands & changed
