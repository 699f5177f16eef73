"""The page needs nothing from elsewhere and takes no text for markup."""

import re
from html.parser import HTMLParser

from unfooled.report import Report
from unfooled.reports.html import html, inline


class Seen(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(report: Report) -> Seen:
    parser = Seen()
    parser.feed(html(report).decode())
    return parser


def test_nothing_is_fetched_and_no_script_runs(small_report: Report) -> None:
    page = seen(small_report)
    assert "script" not in {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            address = attributes.get(name)
            assert address is None or address.startswith("data:"), (tag, address)
    assert not re.search(r"url\(|@import", html(small_report).decode())


def test_titles_print_as_text(small_report: Report) -> None:
    page = seen(small_report)
    assert "Is <b>this</b> $x^2$ #panic() text?" in page.text
    assert not {"b", "i"} & {tag for tag, attributes in page.tags if attributes} - {"b"}
    assert "No <i>change</i> & $y$" in page.text


def test_every_image_has_an_alternative_text(small_report: Report) -> None:
    images = [attributes for tag, attributes in seen(small_report).tags if tag == "img"]
    assert len(images) >= 6
    assert all(attributes.get("alt") for attributes in images)


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
