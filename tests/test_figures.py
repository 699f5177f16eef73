"""Figures are whole, repeatable and told in words."""

import xml.etree.ElementTree as ET

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
    first, second = all_figures(small_report), all_figures(small_report)
    assert {name: one.svg for name, one in first.items()} == {
        name: one.svg for name, one in second.items()
    }


def test_a_notebook_shows_a_figure_and_tells_its_numbers(small_report: Report) -> None:
    figure = all_figures(small_report)["curves"]
    shown, about = figure._repr_mimebundle_()
    root = ET.fromstring(shown["image/svg+xml"])
    assert root.get("aria-label") == figure.alt == about["image/svg+xml"]["alt"]
    assert shown["text/plain"] == figure.alt
