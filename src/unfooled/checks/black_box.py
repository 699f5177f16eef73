"""Black box or transfer beats white box."""

from unfooled.check import Beside, Evidence, Flags, fallen
from unfooled.finding import Finding

_FOLLOW = ("as is", "margin", "rescaled", "shifted")  # the probes that follow the gradient
_SAID = "fall to random points, scores or another network, and to nothing that follows the gradient"
_ADVICE = (
    "look for what hides the gradient (obfuscated.bpda, obfuscated.eot); add the attacks "
    '"square" and "transfer"'
)


def black_box(evidence: Evidence) -> list[Finding]:
    """Whether attacks that know less fool images which no attack that follows the gradient fools.

    The gradient is then masked: it exists and leads nowhere. Where there is none, as in an ONNX
    file, nothing can be masked.

    Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 3.1; Carlini et al. 2019,
    https://arxiv.org/abs/1902.06705, section 5.2.
    """
    return fallen(evidence, "black_box", _FOLLOW, _flags, _SAID, _ADVICE)


def _flags(network: Beside) -> Flags:
    blind = network.by("random", "square", "transfer", "differences")
    return blind & ~network.followed & ~network.by(*_FOLLOW)
