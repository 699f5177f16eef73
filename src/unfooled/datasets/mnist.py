"""MNIST: 70,000 handwritten digits."""

from pathlib import Path

from unfooled import idx
from unfooled.dataset import Dataset

HASHES = dict(
    zip(
        idx.FILES,
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        strict=True,
    )
)


def mnist(*, folder: Path | None) -> Dataset:
    """60,000 training and 10,000 test digits, 28 x 28, grey.

    Source: LeCun, Bottou, Bengio and Haffner 1998, section III.A.
    """
    classes = tuple("0123456789")
    return idx.load("mnist", "MNIST", classes, HASHES, "MNIST", folder)
