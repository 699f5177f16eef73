"""Label smoothing: the sham control, which looks robust to weak attacks and is not."""

import torch.nn.functional as F
from torch import nn

from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage


def label_smoothing(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,  # noqa: ARG001 - the same signature as every defence
    progress: float,  # noqa: ARG001
    smoothing: float = 0.1,
) -> PerImage:
    """Cross-entropy against labels of which a share is spread over all classes.

    Args:
        smoothing: the share, 0 to 1.

    Source: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
    """
    return F.cross_entropy(model(images), labels, reduction="none", label_smoothing=smoothing)
