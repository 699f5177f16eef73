from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toys

from unfooled import catalog, corruption
from unfooled.corruption import SEVERITIES, Corruption, unit
from unfooled.errors import InvalidInput, InvalidOption, InvalidTransform, UnknownName
from unfooled.randomness import Draws
from unfooled.shapes import Images

MINE = """
def darker(images, *, severity, draws):
    return images * (1 - severity / 10)
"""


def made(function: Callable[..., object]) -> Corruption:
    return Corruption("mine", function)  # type: ignore[arg-type]


def test_there_are_the_fifteen_of_mnist_c() -> None:
    assert len(catalog.names("corruptions")) == 15


def test_an_unknown_corruption_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'zigzag'"):
        corruption.find("zigzac")


def test_a_users_own_file_holds_a_corruption(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    found = corruption.find(f"{tmp_path / 'mine.py'}:darker")
    images = toys.pictures(3)
    assert torch.equal(found.apply(images, 4, draws=Draws(0)), images * 0.6)
    with pytest.raises(InvalidOption):
        found.apply(images, 6, draws=Draws(0))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("severity", [0, 6, -1, 2.5, 2.0, True, "3", None])
def test_a_severity_is_a_whole_number_from_1_to_5(severity: object) -> None:
    with pytest.raises(InvalidOption, match="severity must be a whole number from 1 to 5, not"):
        corruption.find("fog").apply(toys.pictures(2), severity, draws=Draws(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda images, **_: images + 1, "pixels from 1.* they must stay in"),
        (lambda images, **_: images - 1, "they must stay in"),
        (lambda images, **_: images / 0, "NaN or infinite"),
        (lambda images, **_: images[..., 1:], "type and shape must stay"),
        (lambda images, **_: images.double(), "type and shape must stay"),
        (lambda images, **_: None, "NoneType, not a tensor"),
        (lambda images: images, "mine raised TypeError"),
    ],
)
def test_a_result_that_no_model_can_read_is_refused(
    function: Callable[..., object], words: str
) -> None:
    with pytest.raises(InvalidTransform, match=words):
        made(function).apply(toys.pictures(2), 1, draws=Draws(0))


def test_an_error_on_purpose_keeps_its_kind() -> None:
    def refusing(images: Images, *, severity: int, draws: Draws) -> Images:
        raise InvalidInput("not these")

    with pytest.raises(InvalidInput, match="not these"):
        made(refusing).apply(toys.pictures(2), 1, draws=Draws(0))


def test_many_images_come_in_parts_that_no_draw_depends_on() -> None:
    def noisy(images: Images, *, severity: int, draws: Draws) -> Images:
        sizes.append(len(images))
        return draws.uniform(images)

    sizes: list[int] = []
    images = toys.pictures(1).expand(2100, -1, -1, -1)
    found = made(noisy).apply(images, 1, draws=Draws(3, "d"))
    assert sizes == [1000, 1000, 100]
    assert torch.equal(found, Draws(3, "d").uniform(images))


def test_no_images_stay_no_images() -> None:
    assert corruption.find("fog").apply(toys.pictures(0), 1, draws=Draws(0)).shape == (0, 1, 8, 8)


def test_lengths_grow_with_the_images() -> None:
    assert [unit(torch.zeros(1, 1, side, side)) for side in (28, 56, 7)] == [1, 2, 0.25]
    assert SEVERITIES == (1, 2, 3, 4, 5)
