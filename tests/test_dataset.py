import pytest
import torch
import toys

from unfooled import dataset
from unfooled.dataset import Dataset, Split, assemble
from unfooled.errors import InvalidData, UnknownName


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
