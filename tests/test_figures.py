"""Figures are whole, repeatable and told in words."""

import base64
import io
import xml.etree.ElementTree as ET
from dataclasses import replace

from PIL import Image

from unfooled.figures import all_figures
from unfooled.report import Report


def test_every_figure_is_well_formed_and_has_an_alternative_text(small_report: Report) -> None:
    figures = all_figures(small_report)
    assert {"curves", "effects", "confusion", "learning", "inside", "digits-plain"} <= set(figures)
    for name, figure in figures.items():
        assert figure.name == name
        assert ET.fromstring(figure.svg).tag.endswith("svg")
        assert len(figure.alt) > 40
        assert figure.title
        assert figure.rows
        assert {len(row) for row in figure.rows} == {len(figure.head)}


def test_figures_are_the_same_each_time(small_report: Report) -> None:
    first = all_figures(small_report)
    all_figures.cache_clear()
    second = all_figures(small_report)
    assert second is not first
    assert {name: one.svg for name, one in first.items()} == {
        name: one.svg for name, one in second.items()
    }


def test_a_notebook_shows_a_figure_in_pixels_and_tells_its_numbers(small_report: Report) -> None:
    figure = all_figures(small_report)["curves"]
    shown, about = figure._repr_mimebundle_()
    with Image.open(io.BytesIO(base64.b64decode(shown["image/png"]))) as picture:
        told = about["image/png"]
        assert (picture.width // 2, picture.height // 2) == (told["width"], told["height"])
        assert len(picture.convert("RGB").getcolors(2**24)) > 10
    assert told["alt"] == figure.alt == shown["text/plain"]


def test_figures_are_drawn_once_for_all_pages(small_report: Report) -> None:
    first = all_figures(small_report)
    assert all_figures(small_report) is first
    assert all_figures(replace(small_report)) is not first
