"""Every member of `datasets/` meets these tests by itself.

`digits` is always there and `mnist` where UNFOOLED_DATA names its files; the relatives of MNIST are
read from made-up files in their format.
"""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import pytest
import torch

from unfooled import catalog, dataset, idx
from unfooled.dataset import Dataset

MADE_UP = ("fashion_mnist", "kmnist")


def made_up(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 100 + 30 images, and their hashes in place of the published ones."""
    hashes = catalog.module("datasets", name).HASHES
    for file in idx.FILES:
        n = 100 if file.startswith("train") else 30
        shape = (n, 28, 28) if "images" in file else (n,)
        count = n * 784 if "images" in file else n
        values = bytes(i % (256 if "images" in file else 10) for i in range(count))
        head = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
        (home / file).write_bytes(gzip.compress(head + values))
        digest = hashlib.sha256((home / file).read_bytes()).hexdigest()
        monkeypatch.setitem(hashes, file, digest)


@pytest.fixture(params=catalog.names("datasets"))
def found(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Dataset:
    name, folder = str(request.param), None
    if name in MADE_UP:
        made_up(name, tmp_path, monkeypatch)
        folder = tmp_path
    elif name != "digits":
        folder = Path(os.environ.get("UNFOOLED_DATA", "/nowhere"))
        if not all((folder / file).is_file() for file in idx.FILES):
            pytest.skip(f"UNFOOLED_DATA names no folder with the files of {name}")
    return dataset.find(name, folder=folder)


def test_a_data_set_is_what_it_says(found: Dataset) -> None:
    assert found.name in catalog.names("datasets")
    assert found.title
    assert found.source
    assert len(found.sha256) == 64
    assert len(set(found.classes)) == len(found.classes) == 10


def test_every_split_holds_square_byte_images_with_known_labels(found: Dataset) -> None:
    for split in (found.train, found.validation, found.test):
        n = len(split)
        assert n > 0
        assert split.images.shape == (n, found.channels, found.size, found.size)
        assert split.images.dtype == torch.uint8
        assert split.labels.shape == (n,)
        assert split.labels.dtype == torch.int64
        assert set(split.labels.tolist()) <= set(range(len(found.classes)))
        assert int(split.images.max()) > 200


def test_every_class_is_there_to_train_on_and_to_judge_by(found: Dataset) -> None:
    for split in (found.train, found.test):
        assert len(split.labels.unique()) == len(found.classes)


def test_reading_again_gives_the_same_hash(found: Dataset) -> None:
    folder = None if found.name == "digits" else Path(found.source)
    assert dataset.find(found.name, folder=folder).sha256 == found.sha256


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "mnist"])
def test_published_hashes_are_of_four_different_files(name: str) -> None:
    hashes = catalog.module("datasets", name).HASHES
    assert tuple(hashes) == idx.FILES
    assert len(set(hashes.values())) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in hashes.values())
