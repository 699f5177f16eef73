"""The images to slide through are those of the facts."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from unfooled.album import Strip, album, named
from unfooled.report import Report


def test_every_recipe_has_a_strip_of_the_same_images(small_report: Report) -> None:
    made = album(small_report)
    assert made is not None
    assert [strip.title for strip in made.strips] == [r.title for r in small_report.results.recipes]
    assert made.eps[made.start] == pytest.approx(small_report.study.answer_eps)
    seen = small_report.pictures["plain"]
    assert made.labels == tuple(seen["labels"])
    assert made.right(0) == int((seen["read_as"][made.start] == seen["labels"]).sum())


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_sheet_has_a_row_for_each_eps_and_a_column_for_each_image(
    channels: int, mode: str
) -> None:
    images = np.arange(2 * 3 * channels * 16, dtype=np.uint8).reshape(2, 3, channels, 4, 4)
    strip = Strip("one", images, ((0, 0, 0), (0, 0, 0)))
    content = base64.b64decode(strip.sheet.partition(",")[2])
    sheet = Image.open(io.BytesIO(content))
    assert (sheet.mode, sheet.size) == (mode, (12, 8))
    tile = np.asarray(sheet)[4:8, 8:12]
    expected = 255 - images[1, 2, 0] if channels == 1 else images[1, 2].transpose(1, 2, 0)
    assert np.array_equal(tile, expected)


def test_large_images_are_shown_small() -> None:
    strip = Strip("one", np.zeros((1, 2, 3, 224, 224), np.uint8), ((0, 0),))
    sheet = Image.open(io.BytesIO(base64.b64decode(strip.sheet.partition(",")[2])))
    assert sheet.size == (2 * 56, 56)


def test_what_is_read_as_no_class_is_nothing() -> None:
    assert [named(("a", "b"), place) for place in (-1, 0, 1, 2)] == ["nothing", "a", "b", "nothing"]
