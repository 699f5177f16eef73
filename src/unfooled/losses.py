"""Losses for each image, all growing as the image comes closer to being misread.

With `targets`, misread means read as the target: the same functions then grow as the image comes
closer to its target (source/target misclassification). Without, any wrong class will do
(misclassification).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unfooled.shapes import Labels, Logits, Mask, PerImage


def cross_entropy(logits: Logits, labels: Labels, targets: Labels | None = None) -> PerImage:
    """-log softmax of the label; of the target with its sign turned, when there is one."""
    if targets is None:
        return F.cross_entropy(logits, labels, reduction="none")
    return -F.cross_entropy(logits, targets, reduction="none")


def margin(logits: Logits, labels: Labels, targets: Labels | None = None) -> PerImage:
    """The best other logit less the label's; with targets, the target's less the best other."""
    if targets is None:
        return _best_other(logits, labels) - _chosen(logits, labels)
    return _chosen(logits, targets) - _best_other(logits, targets)


def fooled(logits: Logits, labels: Labels, targets: Labels | None = None) -> Mask:
    """Whether an image is misread; logits that are not finite read nothing: they count as misread.

    A tie counts as what `argmax` reads, so that this agrees with what a user sees.
    """
    finite = logits.isfinite().all(1)
    read_as = logits.argmax(1)
    if targets is None:
        return (read_as != labels) | ~finite
    return (read_as == targets) | ~finite


def _chosen(logits: Logits, classes: Labels) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _best_other(logits: Logits, classes: Labels) -> Tensor:
    return logits.scatter(1, classes[:, None], -torch.inf).amax(1)
