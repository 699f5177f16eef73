"""The doctor found something else that makes an evaluation worthless."""

from unfooled.check import Evidence, examined
from unfooled.finding import Finding

_NAMES = ("mode", "forward", "numbers", "classes", "output", "labels", "pixels", "batch")


def examination(evidence: Evidence) -> list[Finding]:
    """What the doctor says to each network, its gradient and its chance apart.

    Such as logits that are not numbers, answers no better than guessing, or probabilities where
    logits should be.
    """
    advice = "unfooled doctor on the network, and what it says there"
    return examined(evidence, "examination", _NAMES, advice)
