"""The page needs nothing from elsewhere and takes no text for markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from unfooled.report import Report
from unfooled.reports.html import html, inline


class Seen(HTMLParser):
    """Tags with their attributes, and all text outside of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(small_report: Report) -> str:
    return html(small_report).decode()


@pytest.fixture(scope="module")
def page(text: str) -> Seen:
    parser = Seen()
    parser.feed(text)
    return parser


def test_nothing_is_fetched(page: Seen, text: str) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, address)
    for address in re.findall(r"url\((.{5})", text):
        assert address.startswith(("data:", "#")), address
    assert "@import" not in text


def test_only_the_pages_own_script_may_run(page: Seen, text: str) -> None:
    data, script = page.scripts
    allowed = re.search(r"script-src 'sha256-([^']*)'", text)
    assert allowed is not None
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() == allowed[1]
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert json.loads(data)["titles"][0] == "No <i>change</i> & $y$"
    assert "<" not in data


def test_titles_print_as_text(page: Seen) -> None:
    assert "Is <b>this</b> $x^2$ #panic() text?" in page.text
    assert "No <i>change</i> & $y$" in page.text


def test_every_picture_has_an_alternative_text(page: Seen) -> None:
    drawings = page.having("svg")
    assert len(drawings) >= 6
    for one in drawings:
        assert one["role"] == "img"
        assert one["aria-label"]
    tiles = [one for one in page.having("div") if (one.get("class") or "").startswith("tile")]
    tiles = [one for one in tiles if one.get("role") == "img"]
    assert len(tiles) == 3 * 12
    assert all(one["aria-label"] for one in tiles)


def test_no_name_is_given_twice(page: Seen) -> None:
    names = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert [one for one in names if names.count(one) > 1] == []


def test_every_colour_of_a_figure_has_one_for_dark_pages(text: str) -> None:
    used = set(re.findall(r"var\((--c-[0-9a-f]{6})\)", text))
    assert len(used) >= 6
    light, dark = (
        set(re.findall(r"(--c-[0-9a-f]{6}):", part)) for part in text.split("@media")[:2]
    )
    assert used <= light
    assert used <= dark


def test_the_numbers_of_each_figure_come_along(page: Seen) -> None:
    links = [one for one in page.having("a") if one.get("download")]
    assert len(links) >= 6
    assert all((one["href"] or "").startswith("data:text/csv") for one in links)


def test_a_notebook_shows_the_answer_and_the_steps_and_takes_no_text_for_markup(
    small_report: Report,
) -> None:
    shown = small_report._repr_mimebundle_()
    assert shown["text/html"] == inline(small_report)
    assert shown["text/plain"].endswith(small_report.answer.sentence)
    page = Seen()
    page.feed(inline(small_report))
    assert {tag for tag, _ in page.tags} <= {
        *("h3", "p", "b", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
    for part in (
        small_report.answer.sentence,
        "4. Attack it",
        "Is <b>this</b> $x^2$ #panic() text?",
    ):
        assert part in page.text
