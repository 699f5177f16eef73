"""Every member of `datasets/` meets these tests by itself.

`digits` is always there and `mnist` where UNFOOLED_DATA names its files; the others are read from
made-up files in their format.
"""

import os
from pathlib import Path

import made_up
import pytest
import torch
import toys

from unfooled import catalog, dataset, idx, report, run
from unfooled.dataset import Dataset

MADE_UP = ("cifar10", "emnist", "fashion_mnist", "image_folder", "kmnist")


@pytest.fixture(params=catalog.names("datasets"))
def found(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Dataset:
    name, folder = str(request.param), None
    if name in MADE_UP:
        folder = made_up.folder_of(name, tmp_path / "files", monkeypatch)
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


@pytest.mark.usefixtures("unchecked", "no_processes", "short_probes")
@pytest.mark.parametrize("name", MADE_UP)
def test_a_study_runs_on_it_from_training_to_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made_up.folder_of(name, tmp_path / "files", monkeypatch)
    study = toys.study(dataset=name, seeds=1)
    assert run.run(study, tmp_path / "run", data_folder=folder, device="cpu", workers=1) == []
    made = report.gather(tmp_path / "run")
    assert made.environment["data"]["sha256"] == dataset.find(name, folder=folder).sha256
    assert [recipe.name for recipe in made.results.recipes] == ["plain", "flips"]


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "mnist"])
def test_published_hashes_are_of_four_different_files(name: str) -> None:
    hashes = catalog.module("datasets", name).HASHES
    assert tuple(hashes) == idx.FILES
    assert len(set(hashes.values())) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in hashes.values())
