"""Numbers and lists as sentences have them."""

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class Interval(Protocol):
    """Whatever has two ends, as shares."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def quoted(title: str) -> str:
    """In quotation marks: it may hold commas."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{title}\N{RIGHT DOUBLE QUOTATION MARK}"


def public(words: str) -> str:
    """Without the name and password that an address in them may hold, as "http://NAME:WORD@HOST"."""
    return re.sub(r"(?<=://)[^\s/?#]*@", "", words)


_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def visible(words: str) -> str:
    """With what a terminal would obey, or turn round, as a program writes it."""
    return _HIDDEN.sub(lambda one: repr(one[0])[1:-1], words)


def percent(share: float, digits: int = 1) -> str:
    """0.405 as "40.5 %", with a space that no line breaks at."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def interval(ends: Interval, digits: int = 1) -> str:
    """The ends as "38.2 to 42.9", in per cent."""
    return f"{100 * ends.low:.{digits}f} to {100 * ends.high:.{digits}f}"


def points(difference: float, digits: int = 1) -> str:
    """-0.075 as "-7.5", with a real minus sign; percentage points."""
    text = f"{100 * difference:+.{digits}f}"
    return "0" + text[2:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def points_interval(ends: Interval) -> str:
    """An interval as "-9.9 to -5.0", in percentage points."""
    return f"{points(ends.low)} to {points(ends.high)}"


def listed(clauses: Sequence[str]) -> str:
    """One, or several with "and" before the last."""
    return ", and ".join([", ".join(clauses[:-1]), clauses[-1]] if len(clauses) > 1 else clauses)
