"""scikit-learn's digits: 1,797 real scans that come with the package, so nothing is downloaded."""

from pathlib import Path

import torch
import torch.nn.functional as F

from unfooled.dataset import Dataset, Split, assemble
from unfooled.randomness import Draws


def digits(*, folder: Path | None) -> Dataset:  # noqa: ARG001 - there are no files to look for
    """1,097 training, 200 validation and 500 test digits, 8 x 8 scans enlarged to 28 x 28, grey.

    They are put into a fixed random order first: the file lists them writer by writer.

    Source: Alpaydin and Kaynak 1998, UCI repository, "Optical recognition of handwritten digits".
    """
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    order = Draws(0, "digits").order(len(labels))
    small = torch.from_numpy(scans).float().view(-1, 1, 8, 8)[order] / 16
    large = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    images = large.mul(255).round().to(torch.uint8)
    classes = torch.from_numpy(labels).to(torch.int64)[order]
    train, test = Split(images[:1297], classes[:1297]), Split(images[1297:], classes[1297:])
    names = tuple("0123456789")
    return assemble("digits", "scikit-learn digits", names, "scikit-learn", train, 200, test)
