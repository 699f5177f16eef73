import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from unfooled import dataset
from unfooled.dataset import Dataset, Split, assemble
from unfooled.errors import InvalidData, InvalidOption, UnknownName


def put_together(train: Split, test: Split) -> Dataset:
    return assemble("toy", "Toy", ("a", "b", "c"), "made up", train, 60, test)


def test_pixels_are_bytes_over_255() -> None:
    split = Split(
        torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1),
        torch.zeros(3, dtype=torch.int64),
    )
    assert split.pixels().flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert split.pixels(torch.tensor([2, 0])).flatten().tolist() == [1, 0]
    assert split.images.flatten().tolist() == [0, 51, 255]


def test_a_pickle_can_leave_the_images_where_they_are() -> None:
    given, apart = toys.striped(), list[pickle.PickleBuffer]()
    head = pickle.dumps(given, protocol=5, buffer_callback=apart.append)
    assert len(head) < 5000 < given.bytes == (300 + 90) * toys.SIZE**2
    found = pickle.loads(head, buffers=[bytes(one.raw()) for one in apart])  # only to be read
    assert found.sha256 == given.sha256
    assert found.validation.images.equal(given.validation.images)
    assert found.test.labels.equal(given.test.labels)
    assert pickle.loads(pickle.dumps(given)).train.images.equal(given.train.images)


def test_the_last_training_images_are_held_out_and_the_test_set_is_left_alone() -> None:
    train, test = toys.stripes(300, "train"), toys.stripes(90, "test")
    made = put_together(train, test)
    assert (len(made.train), len(made.validation), len(made.test)) == (240, 60, 90)
    assert torch.equal(made.validation.images, train.images[240:])
    assert torch.equal(made.validation.labels, train.labels[240:])
    assert torch.equal(made.test.images, test.images)
    assert (made.channels, made.size) == (1, toys.SIZE)


def test_one_flipped_bit_changes_the_hash() -> None:
    train, test = toys.stripes(300, "train"), toys.stripes(90, "test")
    before = put_together(train, test).sha256
    assert put_together(train, test).sha256 == before
    test.images[89, 0, 7, 7] ^= 1
    after = put_together(train, test).sha256
    assert after != before
    train.labels[0] = 1
    assert put_together(train, test).sha256 not in (before, after)


def test_a_sample_is_the_same_each_time_and_part_of_every_larger_one() -> None:
    split = toys.stripes(90, "test")
    ten, thirty = split.sample(10), split.sample(30)
    assert torch.equal(ten, split.sample(10))
    assert set(ten.tolist()) < set(thirty.tolist())
    assert torch.equal(ten, ten.unique(sorted=True))
    assert ten.tolist() != list(range(10))


@pytest.mark.parametrize("n", [90, 91, 10**6])
def test_a_sample_of_all_is_all(n: int) -> None:
    assert torch.equal(toys.stripes(90, "test").sample(n), torch.arange(90))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("part", ["training", "test"])
def test_images_and_labels_that_differ_in_number_are_refused(part: str) -> None:
    good = toys.stripes(90, "good")
    bad = Split(good.images, good.labels[:89])
    splits = (bad, good) if part == "training" else (good, bad)
    with pytest.raises(InvalidData, match=f"toy: 90 {part} images but 89 labels"):
        put_together(*splits)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_names_no_class_is_refused(label: int) -> None:
    good, bad = toys.stripes(90, "good"), toys.stripes(90, "bad")
    bad.labels[5] = label
    with pytest.raises(InvalidData, match=f"a test label is {label}"):
        put_together(good, bad)


def test_a_users_own_data_set_is_found() -> None:
    assert dataset.find("toys:striped").title == "stripes"


def test_a_function_that_returns_no_data_set_is_refused() -> None:
    with pytest.raises(InvalidData, match="toys:little returned a Sequential, not a Dataset"):
        dataset.find("toys:little")


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mnist'"):
        dataset.find("mnits")


def test_an_option_that_a_data_set_has_not_is_refused() -> None:
    with pytest.raises(InvalidOption, match="mnist has no option 'size'; it has none"):
        dataset.find("mnist", size=32)
    with pytest.raises(InvalidOption, match="size must be int, not 'big'"):
        dataset.find("image_folder", size="big")


def images_of(n: int) -> Iterator[np.ndarray]:
    for value in range(n):
        yield np.full((3, 4, 4), value, np.uint8)


def test_images_come_back_from_a_file_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    dataset.write(path, (5, 3, 4, 4), images_of(5))
    found = dataset.mapped(path, 5)
    assert found is not None
    assert found.shape == (5, 3, 4, 4)
    assert found.dtype == torch.uint8
    assert found[:, 0, 0, 0].tolist() == found[:, 2, 3, 3].tolist() == list(range(5))
    split = Split(found, torch.zeros(5, dtype=torch.int64))
    assert split.part(1, 3).pixels().mul(255).round()[:, 1, 1, 1].tolist() == [1, 2]
    assert np.load(path).sum() == found.sum()


@pytest.mark.parametrize("keep", [0, 7, 60, 200])
def test_a_file_that_is_cut_off_holds_no_images(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.npy"
    dataset.write(path, (5, 3, 4, 4), images_of(5))
    path.write_bytes(path.read_bytes()[:keep])
    assert dataset.mapped(path, 5) is None


def test_a_file_of_something_else_holds_no_images(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    assert dataset.mapped(path, 5) is None
    np.save(path, np.zeros((5, 3, 4, 4)))
    assert dataset.mapped(path, 5) is None
    dataset.write(path, (5, 3, 4, 4), images_of(5))
    assert dataset.mapped(path, 4) is None


def test_writing_that_fails_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield from images_of(2)
        raise InvalidData("the third is broken")

    path = tmp_path / "a.npy"
    dataset.write(path, (5, 3, 4, 4), images_of(5))
    with pytest.raises(InvalidData, match="the third"):
        dataset.write(path, (5, 3, 4, 4), failing())
    assert list(tmp_path.iterdir()) == [path]
    assert dataset.mapped(path, 5) is not None


def test_a_folder_is_taken_for_a_data_set_only_where_none_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("digits", "own"):
        Path(folder).mkdir()
    assert dataset.meant("digits", None) == ("digits", None)
    assert dataset.meant("own", None) == ("image_folder", Path("own"))
    assert dataset.meant("mine.py:own", Path("data")) == ("mine.py:own", Path("data"))
