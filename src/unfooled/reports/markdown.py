"""results.md: the answer and its tables, for a README or a pull request."""

from unfooled.grid import Table
from unfooled.page import Page, page
from unfooled.report import Report

ENDING = "md"
_MARKUP = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#&$~"})


def markdown(report: Report) -> bytes:
    """The report's words and tables; figures and the layer table are in the PDF and the HTML."""
    return laid_out(page(report))


def laid_out(whole: Page) -> bytes:
    """The words and tables of a page."""
    lines = [f"# {_plain(whole.title)}", _plain(whole.subtitle)]
    lines += [f"**{_plain(whole.short)}** {_plain(whole.sentence)}"]
    lines += [f"- Doubt: {_plain(sentence)}" for sentence in whole.doubts]
    lines += [_plain(sentence) for sentence in whole.sure]
    lines += [_table(whole.steps), _plain(whole.limits)]
    for section in whole.sections:
        if section.tables:
            lines += [f"## {_plain(section.title)}", *map(_table, section.tables)]
    return ("\n\n".join(lines) + "\n").encode()


def _table(table: Table) -> str:
    rows = [table.head, ("---",) * len(table.head), *table.rows]
    cells = [
        " | ".join(cell if place == 1 else _plain(cell) for cell in row)
        for place, row in enumerate(rows)
    ]
    body = "\n".join(f"| {row} |" for row in cells)
    return "\n\n".join(
        part for part in (f"**{_plain(table.title)}**", body, _plain(table.note)) if part
    )


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for markup."""
    return text.translate(_MARKUP)
