"""Fashion-MNIST: 70,000 pictures of clothes in MNIST's format."""

from pathlib import Path

from unfooled import idx
from unfooled.dataset import Dataset

CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
HASHES = dict(
    zip(
        idx.FILES,
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        strict=True,
    )
)


def fashion_mnist(*, folder: Path | None) -> Dataset:
    """60,000 training and 10,000 test pictures of clothes, 28 x 28, grey.

    Source: Xiao, Rasul and Vollgraf 2017, https://arxiv.org/abs/1708.07747.
    """
    return idx.load("fashion_mnist", "Fashion-MNIST", CLASSES, HASHES, "FashionMNIST", folder)
