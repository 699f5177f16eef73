"""Marks say their numbers, and a figure hands its numbers over."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from unfooled.drawing import Figure, drawn_on, end_labels, finished, tip

NAMES = {"svg": "http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("words", ["one, 5 %", 'a <b>"title"</b> & 5 %', "both \" and '"])
def test_a_mark_says_its_words_as_text(words: str) -> None:
    with drawn_on(2, 2) as (canvas, axes):
        (mark,) = axes[0].plot(1, 1, "o")
        tip(mark, words)
        root = ET.fromstring(finished(canvas))
    (title,) = root.findall(".//svg:g[@class='tip']/svg:title", NAMES)
    assert title.text == words


def test_labels_at_the_end_do_not_overlap() -> None:
    with drawn_on(3, 2) as (_, axes):
        end_labels(axes[0], ["a", "b", "c"], [0.5, 0.5, 0.51])
        heights = sorted(text.get_position()[1] for text in axes[0].texts)
    assert all(after - before > 0.07 for before, after in pairwise(heights))


def test_numbers_are_written_as_a_csv_file() -> None:
    figure = Figure("n", "t", "w", "a", "<svg/>", ("recipe", "eps"), (("a, b", 0.1), ("c", 2)))
    assert figure.csv == 'recipe,eps\n"a, b",0.1\nc,2\n'
    assert replace(figure, rows=()).csv == "recipe,eps\n"
