"""The network of the runs in `stores`. Never change this file: its hash is part of their keys."""

from torch import nn


def net(*, channels: int, size: int, classes: int) -> nn.Module:
    """One layer that strides and one that judges."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * (size // 2) ** 2, classes),
    )
