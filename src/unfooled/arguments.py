"""Words of the command line as values."""

from collections.abc import Sequence
from typing import Any

from unfooled.errors import InvalidOption, InvalidThreat
from unfooled.threat import Threat


def number(text: str) -> float | None:
    """What "0.3", "8/255" or "inf" stands for; None for anything else."""
    over, slash, under = text.partition("/")
    try:
        return float(over) / float(under) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        return None


def numbers(text: str | None) -> list[float] | None:
    """Numbers from words like "0.5" or "0.4914,0.4822,0.4465"; None where nothing was said.

    Raises:
        InvalidOption: one of them is no number.
    """
    if text is None:
        return None
    found = [number(part.strip()) for part in text.split(",")]
    if any(one is None for one in found):
        raise InvalidOption(f"numbers are written like 0.5 or 0.49,0.48,0.45, not {text!r}")
    return [one for one in found if one is not None]


def threat(norm: str, eps: str) -> Threat:
    """The threat that two words of the command line describe.

    Raises:
        InvalidThreat: eps is no number of 0 or more or more than can be meant, or there is no such
            norm.
    """
    size = number(eps)
    if size is None:
        raise InvalidThreat(f"eps must be a number such as 0.3, 8/255 or inf, not {eps!r}")
    found = Threat(norm, size)
    found.meant()
    return found


def options(pairs: Sequence[str]) -> dict[str, Any]:
    """Options of an attack from words like "steps=10": int if it is one, else float, else text.

    Raises:
        InvalidOption: there is no "=", or an option is given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if not (name and text):
            raise InvalidOption(f"an option is written like steps=10, not {pair!r}")
        if name in found:
            raise InvalidOption(f"the option {name!r} is given twice")
        value = number(text)
        try:
            found[name] = int(text)
        except ValueError:
            found[name] = text if value is None else value
    return found
