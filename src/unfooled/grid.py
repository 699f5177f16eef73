"""A table of finished text, and how its numbers line up."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

_NUMBER = re.compile(r"[+\N{MINUS SIGN}-]?\d[\d,]*(?:\.\d+)?")
# As wide as a digit, and as a point or comma, where digits are all of one width.
_DIGIT, _POINT = "\N{FIGURE SPACE}", "\N{PUNCTUATION SPACE}"


@dataclass(frozen=True)
class Table:
    """A table of finished text.

    Attributes:
        title: one line above it.
        head: of each column.
        rows: of cells, as many as there are columns.
        note: below it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows."""
        return {"text/html": as_html(self), "text/plain": self.title}


def as_html(table: Table) -> str:
    """A table to stand within another page; every text is escaped."""
    left = 'style="text-align: left"'  # notebooks set all cells to the right
    head = "".join(f'<th scope="col" {left}>{escape(name)}</th>' for name in table.head)
    rows = "\n".join(
        "<tr>" + "".join(f"<td {left}>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    caption = f"<caption {left}>{escape(table.title)}</caption>" if table.title else ""
    note = f"\n<p>{escape(table.note)}</p>" if table.note else ""
    return (
        f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n"
        f"</table>{note}"
    )


def lined_up(table: Table) -> Table:
    """The same table with spaces around its numbers, so that points stand below points.

    Only where cells of a column are built alike, as "38.2 to 42.9" and "9.0 to 11.12" are; the
    first number of one then lines up with the first of the other, and so on.
    """
    if not table.rows:
        return table
    columns = [_lined_up(column) for column in zip(*table.rows, strict=True)]
    return replace(table, rows=tuple(zip(*columns, strict=True)))


def _lined_up(cells: Sequence[str]) -> list[str]:
    forms = Counter(form for form in map(_form, cells) if form is not None)
    if not forms:
        return list(cells)
    form, count = forms.most_common(1)[0]
    if count < 2 or form[0]:  # what begins with words is read as words
        return list(cells)
    numbers = [_NUMBER.findall(cell) for cell in cells if _form(cell) == form]
    before = [max(map(_before, own)) for own in zip(*numbers, strict=True)]
    after = [max(map(_after, own)) for own in zip(*numbers, strict=True)]
    return [_spaced(cell, before, after) if _form(cell) == form else cell for cell in cells]


def _form(cell: str) -> tuple[str, ...] | None:
    """What stands before and between the numbers of a cell; None where there is no number."""
    words = _NUMBER.split(cell)
    return tuple(words[:-1]) if words[1:] else None


def _before(number: str) -> int:
    return len(number.partition(".")[0])


def _after(number: str) -> int:
    return len(number.partition(".")[2])


def _spaced(cell: str, before: Sequence[int], after: Sequence[int]) -> str:
    found = []
    for number, left, right in zip(_NUMBER.findall(cell), before, after, strict=True):
        missing = right - _after(number)
        point = _POINT if missing and "." not in number else ""
        found.append(f"{_DIGIT * (left - _before(number))}{number}{point}{_DIGIT * missing}")
    words = _NUMBER.split(cell)
    pairs = zip(words, [*found, ""], strict=True)
    return "".join(word + number for word, number in pairs)
