"""A network that certified training can fill: one convolution more than `strided`, and wider."""

from torch import nn

from unfooled.layers import Standardise


def strided_deep(*, channels: int, size: int, classes: int) -> nn.Module:
    """Three convolutions, two of them strided, then two linear layers, with ReLU between them.

    Certified training asks more of a network than reading digits does; `strided` is too small for
    it. 425,562 parameters and 2.2 million multiplications on MNIST.
    """
    side = size // 2 // 2
    return nn.Sequential(
        Standardise(),
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * side * side, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )
