"""results.html: one file that needs nothing from elsewhere."""

import base64
from html import escape
from pathlib import Path

from unfooled.drawing import Figure
from unfooled.page import doubts, limits, page, steps, subtitle
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
    answer = report.answer
    told = "".join(f"<p><b>{mark}.</b> {escape(said)}</p>\n" for mark, said in doubts(report))
    return (
        f"<h3>{escape(report.study.question)}</h3>\n<p>{escape(subtitle(report))}</p>\n"
        f"<p><strong>{escape(answer.short)}</strong> {escape(answer.sentence)}</p>\n{told}"
        f"{as_html(steps(report))}\n<p>{escape(limits(report))}</p>\n"
    )


def _address(figure: Figure) -> str:
    """A figure as an address that holds it: an image runs no script and clashes with none."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.encode()).decode()
