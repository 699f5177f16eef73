"""ResNet-18: for colour images and for data on which a small network learns too little."""

from torch import nn

from unfooled.layers import Standardise

_SMALL = 64  # pixels a side up to which the first layers keep every row and column


def resnet18(*, channels: int, size: int, classes: int) -> nn.Module:
    """Eight residual blocks of two 3 x 3 convolutions, 64 to 512 channels, batch normalisation.

    Up to 64 pixels a side the first convolution is 3 x 3 with stride 1 and no max-pool follows, as
    section 4.2 has it for CIFAR-10; larger images are made smaller at once, 7 x 7 with stride 2 and
    a max-pool, as section 4.1 has it for ImageNet. 11.2 million parameters, and 456 million
    multiplications on MNIST: seven hundred times the work of `strided`, for which a study wants a
    GPU.

    Source: He, Zhang, Ren and Sun 2015, https://arxiv.org/abs/1512.03385, table 1.
    """
    from torchvision.models import resnet18 as made

    network = made(weights=None, num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    if size <= _SMALL:
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(Standardise(), network)
