import os
from pathlib import Path

import pytest

from unfooled import idx
from unfooled.datasets.mnist import mnist


@pytest.fixture
def folder() -> Path:
    named = Path(os.environ.get("UNFOOLED_DATA", "/nowhere"))
    if not all((named / file).is_file() for file in idx.FILES):
        pytest.skip("UNFOOLED_DATA names no folder with MNIST's files")
    return named


def test_mnist_has_its_published_numbers(folder: Path) -> None:
    found = mnist(folder=folder)
    assert [len(split) for split in (found.train, found.validation, found.test)] == [
        55_000,
        5_000,
        10_000,
    ]
    # The first labels of both files, and the mean pixel that every tutorial quotes.
    assert found.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert found.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    whole = 55 * found.train.pixels().mean() + 5 * found.validation.pixels().mean()
    assert float(whole) / 60 == pytest.approx(0.1307, abs=1e-4)
