"""The PDF is set whole, with every text as text."""

from unfooled.report import Report
from unfooled.reports.pdf import pdf


def test_a_pdf_is_set_although_the_titles_try_to_be_markup(small_report: Report) -> None:
    content = pdf(small_report)
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(content) > 50_000


def test_a_pdf_can_be_read_aloud(small_report: Report) -> None:
    # Typst refuses to set a page that breaks PDF/UA-1, such as an image without words.
    content = pdf(small_report)
    assert b"pdfuaid:part>1" in content
    assert b"/StructTreeRoot" in content or b"/Marked true" in content
