"""The PDF is set whole, with every text as text."""

from unfooled.report import Report
from unfooled.reports.pdf import pdf


def test_a_pdf_is_set_although_the_titles_try_to_be_markup(small_report: Report) -> None:
    content = pdf(small_report)
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(content) > 50_000
