"""The network of PyTorch's MNIST example."""

from torch import nn

from unfooled.layers import Standardise


def tutorial_cnn(*, channels: int, size: int, classes: int) -> nn.Module:
    """Convolutions of 32 and 64 channels, kernel 3, a max-pool; dropout; 128 hidden units.

    1.2 million parameters and 12 million multiplications on MNIST: about twenty times the work of
    `strided`.

    Source: PyTorch's basic MNIST example.
    """
    side = (size - 4) // 2
    return nn.Sequential(
        Standardise(),
        nn.Conv2d(channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * side * side, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
    )
