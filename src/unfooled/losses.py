"""Losses for each image, all growing as the image comes closer to being misread.

With `targets`, misread means read as the target: the same functions then grow as the image comes
closer to its target (source/target misclassification). Without, any wrong class will do
(misclassification).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unfooled.shapes import Labels, Logits, Mask, PerImage

_ROUNDING = 1e-6  # of the largest logit


def cross_entropy(logits: Logits, labels: Labels, targets: Labels | None = None) -> PerImage:
    """-log softmax of the label; of the target with its sign turned, when there is one."""
    if targets is None:
        return F.cross_entropy(logits, labels, reduction="none")
    return -F.cross_entropy(logits, targets, reduction="none")


def log_odds(logits: Logits, labels: Labels, targets: Labels | None = None) -> PerImage:
    """The log of the odds of being misread: of any other class to the label's, or of the target.

    Its gradient has the direction of `cross_entropy`'s, but does not vanish where the model is
    sure of itself, and is exact there in float32. For two classes it is the margin.
    """
    wanted = labels if targets is None else targets
    others = logits.scatter(1, wanted[:, None], -torch.inf).logsumexp(1)
    odds: PerImage = others - _chosen(logits, wanted)
    return odds if targets is None else -odds


def margin(logits: Logits, labels: Labels, targets: Labels | None = None) -> PerImage:
    """The best other logit less the label's; with targets, the target's less the best other."""
    if targets is None:
        return _best_other(logits, labels) - _chosen(logits, labels)
    return _chosen(logits, targets) - _best_other(logits, targets)


def dlr(logits: Logits, labels: Labels, targets: Labels | None = None) -> PerImage:
    """The difference of logits ratio: `margin` divided by how far the largest logits lie apart.

    Multiplying the logits by a number changes nothing. Where it is undefined, for fewer than 3
    classes (4 with targets), it is the margin.

    Source: Croce and Hein 2020, https://arxiv.org/abs/2003.01690, equations 6 and 7.
    """
    if logits.shape[1] < (3 if targets is None else 4):
        return margin(logits, labels, targets)
    ranked = logits.topk(3 if targets is None else 4, dim=1).values
    if targets is None:
        return margin(logits, labels) / (ranked[:, 0] - ranked[:, 2] + 1e-12)
    spread = ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2
    return (_chosen(logits, targets) - _chosen(logits, labels)) / (spread + 1e-12)


def divergence(logits: Logits, wanted: Logits) -> PerImage:
    """Kullback-Leibler divergence of what is read from what is wanted, given as log-softmax."""
    apart = F.kl_div(logits.log_softmax(1), wanted, reduction="none", log_target=True)
    return apart.sum(1)


def fooled(logits: Logits, labels: Labels, targets: Labels | None = None) -> Mask:
    """Whether an image is misread; logits that are not finite read nothing: they count as misread.

    A tie counts as what `argmax` reads, so that this agrees with what a user sees.
    """
    finite = logits.isfinite().all(1)
    read_as = logits.argmax(1)
    if targets is None:
        return (read_as != labels) | ~finite
    return (read_as == targets) | ~finite


def clearly(logits: Logits) -> Mask:
    """Whether the class that is read leads by more than rounding may change.

    Where it does not, another number of images in a pass may read another class.
    """
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return ~(first - second <= _ROUNDING * logits.abs().amax(1))


def _chosen(logits: Logits, classes: Labels) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _best_other(logits: Logits, classes: Labels) -> Tensor:
    return logits.scatter(1, classes[:, None], -torch.inf).amax(1)
