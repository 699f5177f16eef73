"""Random points and corners of the ball fool what gradients did not."""

from unfooled.check import Beside, Evidence, Flags, fallen
from unfooled.finding import Finding

_SAID = "stand against all attacks of the study and fall to random points"
_ADVICE = 'look for what keeps the attacks from moving; add the attack "square"'


def random_search(evidence: Evidence) -> list[Finding]:
    """Whether random points and corners fool images that stand against all attacks of the study.

    An attack that is beaten by chance does not look for anything.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5.2.
    """
    return fallen(evidence, "random_search", ("random",), _flags, _SAID, _ADVICE)


def _flags(network: Beside) -> Flags:
    return network.stands & network.by("random")
