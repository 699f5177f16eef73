"""results.pdf, set by Typst, which comes with its compiler and fonts and needs no network."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from unfooled.page import Page, page, printed
from unfooled.report import Report

ENDING = "pdf"


def pdf(report: Report) -> bytes:
    """The report as a PDF of A4 pages."""
    return laid_out(page(report))


def laid_out(whole: Page) -> bytes:
    """A page as PDF/UA-1; texts reach Typst as data, so none is taken for markup.

    The same page gives the same bytes: the file says nothing of when it was made.
    """
    import typst

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.json").write_text(json.dumps(asdict(printed(whole))))
        (folder / "page.typ").write_bytes(Path(__file__).with_name("page.typ").read_bytes())
        made = typst.compile(folder / "page.typ", root=folder, pdf_standards=["ua-1"], timestamp=0)
        return bytes(made)
