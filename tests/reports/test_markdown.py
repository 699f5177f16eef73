"""Words and tables for places that read Markdown."""

from unfooled.report import Report
from unfooled.reports.markdown import markdown


def test_titles_stay_text(small_report: Report) -> None:
    text = markdown(small_report).decode()
    assert text.startswith("# Is \\<b\\>this\\</b\\> $x^2$ \\#panic() text?".replace("$", "\\$"))
    assert "<i>" not in text


def test_every_row_of_a_table_has_the_same_number_of_cells(small_report: Report) -> None:
    blocks = [b for b in markdown(small_report).decode().split("\n\n") if b.startswith("|")]
    assert len(blocks) >= 8
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
