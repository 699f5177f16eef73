"""results.pdf, set by Typst, which comes with its compiler and fonts and needs no network."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from unfooled.page import page
from unfooled.report import Report

ENDING = "pdf"


def pdf(report: Report) -> bytes:
    """The report as a PDF of A4 pages; texts reach Typst as data, so none is taken for markup."""
    import typst

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.json").write_text(json.dumps(asdict(page(report))))
        (folder / "page.typ").write_bytes(Path(__file__).with_name("page.typ").read_bytes())
        return bytes(typst.compile(folder / "page.typ", root=folder))
