"""Points stand below points, and what is no number is left alone."""

import pytest

from unfooled.grid import Table, lined_up

F, P = "\N{FIGURE SPACE}", "\N{PUNCTUATION SPACE}"
MINUS = "\N{MINUS SIGN}"


def column(*cells: str) -> list[str]:
    table = lined_up(Table("", ("one",), tuple((cell,) for cell in cells)))
    return [row[0] for row in table.rows]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("99.12", "3.4"), ["99.12", f"{F}3.4{F}"]),
        (("7", "10.25"), [f"{F}7{P}{F}{F}", "10.25"]),
        ((f"{MINUS}2.0", "+10.5", "0.0"), [f"{F}{MINUS}2.0", "+10.5", f"{F}{F}0.0"]),
        (("38.2 to 42.9", "9.0 to 11.12"), [f"38.2 to 42.9{F}", f"{F}9.0 to 11.12"]),
        (("1,000", "50", ""), ["1,000", f"{F}{F}{F}50", ""]),
    ],
)
def test_numbers_line_up(cells: tuple[str, ...], expected: list[str]) -> None:
    assert column(*cells) == expected


@pytest.mark.parametrize(
    "cells",
    [
        ("no attack", "FGSM, eps 0.1", "worst case, eps 0.05"),
        ("helps", "hurts"),
        ("12.5",),
        ("< 0.001", "0.012"),
    ],
)
def test_words_and_single_numbers_are_left_alone(cells: tuple[str, ...]) -> None:
    assert column(*cells) == list(cells)


def test_a_table_without_rows_stays_one() -> None:
    empty = Table("title", ("one", "two"), ())
    assert lined_up(empty) == empty
