"""results.html: one file that needs nothing from elsewhere."""

import base64
from html import escape
from pathlib import Path

from unfooled.drawing import Figure
from unfooled.page import page
from unfooled.report import Report
from unfooled.tables import as_html

ENDING = "html"


def html(report: Report) -> bytes:
    """The report as one page; every text is escaped, every figure is inside."""
    from jinja2 import Environment, StrictUndefined

    source = Path(__file__).with_name("page.html").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["address"] = _address
    return environment.from_string(source).render(data=page(report)).encode()


def inline(report: Report) -> str:
    """The first page without its figure, to stand in a notebook."""
    whole = page(report)
    doubts = "".join(f"<p><b>{mark}.</b> {escape(said)}</p>\n" for mark, said in whole.doubts)
    return (
        f"<h3>{escape(whole.title)}</h3>\n<p>{escape(whole.subtitle)}</p>\n"
        f"<p><strong>{escape(whole.short)}</strong> {escape(whole.sentence)}</p>\n{doubts}"
        f"{as_html(whole.steps)}\n<p>{escape(whole.limits)}</p>\n"
    )


def _address(figure: Figure) -> str:
    """A figure as an address that holds it: an image runs no script and clashes with none."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.encode()).decode()
