"""The network of the classic FGSM tutorial."""

from torch import nn

from unfooled.layers import Standardise


def lenet(*, channels: int, size: int, classes: int) -> nn.Module:
    """Convolutions of 10 and 20 channels, kernel 5, each with a max-pool; dropout; 50 hidden units.

    Source: the network of PyTorch's FGSM tutorial before its correction of 2022, after LeCun et al.
    1998, section II.B.
    """
    side = ((size - 4) // 2 - 4) // 2
    return nn.Sequential(
        Standardise(),
        nn.Conv2d(channels, 10, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(10, 20, 5),
        nn.Dropout2d(0.5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(20 * side * side, 50),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(50, classes),
    )
