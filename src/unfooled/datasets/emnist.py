"""EMNIST Digits: 280,000 handwritten digits in MNIST's format."""

from pathlib import Path

from unfooled import idx
from unfooled.dataset import Dataset

HASHES = {
    "emnist-digits-train-images-idx3-ubyte.gz": "d2662ecdc47895a6bbfce25de9e9a677",
    "emnist-digits-train-labels-idx1-ubyte.gz": "2223fcfee618ac9c89ef20b6e48bcf9e",
    "emnist-digits-test-images-idx3-ubyte.gz": "a159b8b3bd6ab4ed4793c1cb71a2f5cc",
    "emnist-digits-test-labels-idx1-ubyte.gz": "8afde66ea51d865689083ba6bb779fac",
}


def emnist(*, folder: Path | None) -> Dataset:
    """240,000 training and 40,000 test digits, 28 x 28, grey: four times MNIST, and as balanced.

    Of EMNIST's six parts this is "digits", since it asks MNIST's own question: the same ten
    classes, so that a study of MNIST needs one changed word. The letters are not among them. Its
    files are read from the folder or from `gzip.zip`, in which NIST publishes them. They store
    every image with rows and columns exchanged; here the digits stand upright.

    NIST publishes no hash of the files. The MD5 sums here are those on which two public readers of
    EMNIST agree (Deeplearning4j and mnists). MD5 tells damage, not forgery.

    Source: Cohen, Afshar, Tapson and van Schaik 2017, https://arxiv.org/abs/1702.05373.
    """
    return idx.load(
        "emnist",
        "EMNIST Digits",
        tuple("0123456789"),
        HASHES,
        "EMNIST",
        folder,
        archive="gzip.zip",
        upright=lambda images: images.transpose(2, 3),
    )
