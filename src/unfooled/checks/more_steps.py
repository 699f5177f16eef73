"""More steps and restarts still gain."""

from unfooled.check import Beside, Evidence, Flags, fallen
from unfooled.finding import Finding

_SAID = (
    "stand against all attacks of the study and fall to two restarts of 100 steps on a ratio of "
    "margins"
)
_ADVICE = 'add the attack "autoattack", or "apgd" with loss = "dlr"'


def more_steps(evidence: Evidence) -> list[Finding]:
    """Whether more steps and restarts, on a loss that does not saturate, fool what stands.

    Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5.5; Pintor et al. 2022,
    https://arxiv.org/abs/2106.09947, indicator "incomplete optimisation".
    """
    return fallen(evidence, "more_steps", ("margin",), _flags, _SAID, _ADVICE)


def _flags(network: Beside) -> Flags:
    return network.stands & network.by("margin")
