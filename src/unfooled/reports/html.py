"""results.html: one file that needs nothing from elsewhere."""

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from urllib.parse import quote

from unfooled.album import Album, album
from unfooled.assurance import assurance
from unfooled.drawing import COLOURS, Cell, Figure
from unfooled.grid import as_html
from unfooled.page import Page, doubts, limits, page, printed, steps, subtitle
from unfooled.report import Report

ENDING = "html"
# Colours of figures that would not be seen on a dark page, and what stands for them there.
_DARK = {
    "#000000": "#f0f0f0",
    "#222222": "#e6e6e6",
    "#888888": "#8c9095",
    "#777777": "#9a9fa5",
    "#ffffff": "#16181b",
    "#f2f2f2": "#2b2f34",
    "#bfddf0": "#1d4a68",
    "#f6cbb0": "#6b3a1c",
    "#b03000": "#ff9a66",
    "#d55e00": "#f08030",
    "#0072b2": "#4fa8dc",
    "#009e73": "#2fc49a",
    "#aa6fa0": "#cf94c5",
    "#8c8c00": "#b8b82e",
}
_COLOURS = {colour.lower(): _DARK.get(colour.lower(), colour) for colour in (*_DARK, *COLOURS)}


def html(report: Report) -> bytes:
    """The report as one page; every text is escaped, every figure is inside."""
    return laid_out(page(report), album(report))


def laid_out(whole: Page, pictures: Album | None = None) -> bytes:
    """A page and the images to slide through, as one file."""
    from jinja2 import Environment, StrictUndefined

    source, script = (
        Path(__file__).with_name(name).read_text() for name in ("page.html", "page.js")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"drawn": _drawn, "csv_address": _csv_address, "short": _short}
    made = environment.from_string(source).render(
        data=printed(whole),
        album=pictures,
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        colours=[(light[1:], light, dark) for light, dark in _COLOURS.items()],
    )
    return made.encode()


def inline(report: Report) -> str:
    """The first page without its figure, to stand in a notebook."""
    answer = report.answer
    told = "".join(f"<p><b>Doubt.</b> {escape(said)}</p>\n" for said in doubts(report))
    sure = " ".join(map(escape, assurance(report)))
    return (
        f"<h3>{escape(report.study.question)}</h3>\n<p>{escape(subtitle(report))}</p>\n"
        f"<p><strong>{escape(answer.short)}</strong> {escape(answer.sentence)}</p>\n{told}"
        f"<p>{sure}</p>\n{as_html(steps(report))}\n<p>{escape(limits(report))}</p>\n"
    )


def _drawn(figure: Figure, form: str) -> str:
    """The figure as a part of the page: names of its own, colours that follow the page's."""
    from markupsafe import Markup

    svg = figure.narrow if form == "narrow" else figure.svg
    svg = svg[svg.index("<svg") :]
    prefix = f"{figure.name}-{form}-"
    used = set(re.findall(r"""(?:url\(|href=")#([^")]*)""", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}{m[1]}"' * (m[1] in used), svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", svg)
    svg = re.sub("#[0-9a-fA-F]{6}", _variable, svg)
    other = " other" if figure.narrow and form == "wide" else ""
    said = escape(figure.alt)
    return Markup(
        svg.replace("<svg", f'<svg class="{form}{other}" role="img" aria-label="{said}"', 1)
    )


def _variable(found: re.Match[str]) -> str:
    colour = found[0].lower()
    return f"var(--c-{colour[1:]})" if colour in _COLOURS else colour


def _csv_address(text: str) -> str:
    return "data:text/csv;charset=utf-8," + quote(text)


def _short(cell: Cell) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
