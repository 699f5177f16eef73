"""Certified training: the network learns from the worst that interval bounds allow."""

from torch import nn

from unfooled import interval
from unfooled.inner import grown
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat


def ibp(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,  # noqa: ARG001 - the same signature as every defence
    progress: float,
    eps: float = 0.3,
    start: float = 0.05,
    warm_up: float = 0.5,
    kappa: float = 0.5,
) -> PerImage:
    """Cross-entropy of the images, mixed with that of the largest logits that eps could bring.

    Interval bound propagation carries "each pixel within eps" through the network, layer by layer;
    what comes out is an upper bound of every wrong logit less the right one. A network that is
    trained so is certified by the same bounds, the first that `bounds.certified` asks. Not for
    batch normalisation, whose statistics have no bounds while it learns them.

    Args:
        eps: Linf, in pixel units, reached after the warm-up.
        start: share of the training before eps begins to grow.
        warm_up: share of the training during which it grows.
        kappa: the weight that the images without change end with; it falls from 1 as eps grows.

    Raises:
        InvalidModel: the network has a layer that `interval` does not know.

    Source: Gowal et al. 2018, https://arxiv.org/abs/1810.12715, equation 12 and section 3.
    """
    now = grown(eps, progress, warm_up, start)
    worst = interval.margins(model, images, labels, Threat("Linf", now))
    share = 1 - (1 - kappa) * (now / eps if eps else 1.0)
    clean = cross_entropy(model(images), labels)
    return share * clean + (1 - share) * cross_entropy(worst, labels)
