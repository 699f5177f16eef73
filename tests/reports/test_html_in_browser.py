"""The page in a browser: what its script does, on a laptop and on a phone."""

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unfooled.album import album
from unfooled.report import Report
from unfooled.reports.html import html

LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def file(small_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "results.html"
    path.write_bytes(html(small_report))
    return path


def elsewhere(address: str) -> bool:
    return not address.startswith(("file:", "data:", "blob:"))


@pytest.fixture
def page(chromium: Any, file: Path) -> Iterator[Any]:
    """The page as a laptop shows it; what it complains of or asks for elsewhere is an error."""
    context = chromium.new_context(viewport=LAPTOP)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if elsewhere(asked.url) else None)
    page.goto(file.as_uri())
    yield page
    context.close()
    assert wrong == []


def test_the_slider_shows_what_every_network_reads(page: Any, small_report: Report) -> None:
    made = album(small_report)
    assert made is not None
    slider = page.locator("#eps")
    slider.focus()
    for key, row in (("Home", 0), ("ArrowRight", 1), ("End", len(made.eps) - 1)):
        slider.press(key)
        assert page.locator("#size").inner_text() == made.sizes[row]
        for place, strip in enumerate(made.strips):
            shown = page.locator(f".strip-{place} .tile")
            assert shown.all_inner_texts() == [made.called(read) for read in strip.read_as[row]]
            wrong = [
                read != label for read, label in zip(strip.read_as[row], made.labels, strict=True)
            ]
            classes = shown.evaluate_all("all => all.map(one => one.classList.contains('wrong'))")
            assert classes == wrong
        assert page.locator("#told").inner_text().startswith(f"{made.sizes[row]}.")


def test_a_mark_says_its_numbers_where_it_is_pointed_at(page: Any) -> None:
    tip = page.locator("#tip")
    assert tip.is_hidden()
    mark = page.locator("[data-name=curves] .wide .tip").last
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 2, box["y"] + box["height"] / 2)
    assert "eps 0.2" in tip.inner_text()
    assert " to " in tip.inner_text()
    page.mouse.move(5, 5)
    assert tip.is_hidden()


def test_a_figure_and_its_numbers_can_be_taken_away(page: Any) -> None:
    figure = page.locator("[data-name=curves]")
    with page.expect_download() as got:
        figure.get_by_role("button", name="SVG").click()
    picture = Path(got.value.path()).read_text()
    assert got.value.suggested_filename == "curves.svg"
    assert ET.fromstring(picture).tag.endswith("svg")
    assert "var(" not in picture
    with page.expect_download() as got:
        figure.get_by_role("link", name="CSV").click()
    rows = list(csv.reader(io.StringIO(Path(got.value.path()).read_text())))
    assert rows[0][:4] == ["recipe", "attack", "norm", "eps"]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_nothing_stands_out_at_the_side(page: Any, size: dict[str, int]) -> None:
    page.set_viewport_size(size)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    narrow = page.locator("[data-name=curves] svg.narrow")
    assert narrow.is_visible() == (size == PHONE)


def test_without_a_script_the_answers_eps_is_shown(chromium: Any, file: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#size").inner_text() == "eps 0.1"
    assert page.locator("#eps").is_disabled()
    context.close()
