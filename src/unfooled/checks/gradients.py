"""The gradient is zero, not a number, or not what small changes of the pixels do."""

from unfooled.check import Evidence, examined
from unfooled.finding import Finding

_NAMES = ("gradient", "differences", "saturation")


def gradients(evidence: Evidence) -> list[Finding]:
    """What the doctor says to each network's gradient; not a number withholds the verdict.

    Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 3; Pintor et al. 2022,
    https://arxiv.org/abs/2106.09947, indicator "unavailable gradients".
    """
    advice = 'unfooled doctor on the network; add an attack without gradients, such as "square"'
    return examined(evidence, "gradients", _NAMES, advice)
