"""Damage of every kind, for the readers of bytes that anybody may have written.

UNFOOLED_FUZZ=50 in the environment tries 50 times as much, and something else each time.
"""

import copy
import io
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from unfooled.errors import UnfooledError

MORE = int(os.environ.get("UNFOOLED_FUZZ", "0"))
_NUMBERS = [b"\0", b"\xff", b"\x7f", b"\xff" * 4, b"\xff\xff\xff\x7f", b"\xff" * 8, b"\0" * 8]
_NUMBERS += [(2**n).to_bytes(8, order) for n in (16, 31, 32, 40, 62) for order in ("big", "little")]
_DEEP: list[Any] = []
for _ in range(150):
    _DEEP = [_DEEP]
STRANGE: list[Any] = [
    *(None, True, False, -1, 0, 1, 255, 2**31, 2**62, 10**30, 0.5, -0.5, 1e308, 1e-308),
    *(float("nan"), float("inf"), "", "x", "0", "\0", "\x1b[31m", "a" * 5000, "$\\frac$", "<b>&#"),
    *("../../../etc/passwd", "/etc/passwd", "..", "models/../..", "C:\\x", "mine.py:net"),
    *([], {}, [[]], [None], {"": {}}, _DEEP, [1e999] * 3),
]


def tries(count: int) -> settings:
    """So many examples, the same each time; many more and others where that was asked for."""
    return settings(
        max_examples=count * max(MORE, 1),
        derandomize=not MORE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def survives(read: Callable[..., object], *given: object, **named: object) -> bool:
    """Whether something is read; what is refused is refused by an error of ours.

    Any other error is the test's to fail by.
    """
    try:
        read(*given, **named)
    except UnfooledError:
        return False
    return True


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of these, with bytes flipped, cut, doubled, replaced by large numbers or by another's."""
    raw = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(raw) - 1)))
        length = draw(st.integers(0, 1 + len(raw) // draw(st.sampled_from((2, 8, 64)))))
        how = draw(st.sampled_from(("flip", "number", "cut", "drop", "double", "other", "random")))
        if how == "flip" and raw:
            raw[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "number":
            number = draw(st.sampled_from(_NUMBERS))
            raw[place : place + len(number)] = number
        elif how == "cut":
            del raw[place:]
        elif how == "drop":
            del raw[place : place + length]
        elif how == "double":
            raw[place:place] = raw[place : place + length]
        elif how == "other":
            other = draw(st.sampled_from(seeds))
            raw[place : place + length] = other[place : place + length]
        else:
            raw[place : place + 4] = draw(st.binary(min_size=1, max_size=8))
    return bytes(raw)


@st.composite
def forged(draw: st.DrawFn, whole: Any) -> Any:
    """What JSON or TOML holds, with some values, at any depth, replaced, left out or doubled."""
    found = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        inside, key = found, None
        for _ in range(draw(st.integers(1, 6))):
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(inside[key], dict | list) or not inside[key]:
                break
            parent, inside = inside, inside[key]
            if draw(st.integers(0, 4)) == 0:
                inside = parent
                break
        if key is None or (isinstance(inside, dict) and key not in inside):
            continue
        if isinstance(inside, list) and not (isinstance(key, int) and key < len(inside)):
            continue
        how = draw(st.sampled_from(("replace", "replace", "replace", "drop", "add")))
        if how == "replace":
            inside[key] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        elif how == "drop":
            del inside[key]
        elif isinstance(inside, dict):
            inside["more"] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        else:
            inside.append(copy.deepcopy(inside[key]))
    return found


def zipped(parts: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """A whole archive of these parts, with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()
