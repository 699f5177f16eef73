"""The docstrings of unfooled taken apart, as its conventions have them."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_PART = re.compile(r"^(Args|Raises):\n((?:(?: {4}.*)?\n)+)|^(Source): ((?:.+\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^([\w, ]+): (.*)$")


@dataclass(frozen=True)
class Told:
    """What a docstring says.

    Attributes:
        line: its first line.
        body: what follows, without the parts below.
        options: of each parameter that it describes, the description.
        raises: of each error, when it is raised.
        source: where the method comes from.
    """

    line: str
    body: str
    options: dict[str, str]
    raises: dict[str, str]
    source: str


def told(member: Callable[..., Any]) -> Told:
    """What the docstring of a member says."""
    text = (inspect.getdoc(member) or "") + "\n"
    line, _, rest = text.partition("\n")
    parts = {match[1] or match[3]: match[2] or match[4] for match in _PART.finditer(rest)}
    return Told(
        line=line,
        body=_PART.sub("", rest).strip(),
        options=_entries(parts.get("Args", "")),
        raises=_entries(parts.get("Raises", "")),
        source=" ".join(parts.get("Source", "").split()),
    )


def _entries(block: str) -> dict[str, str]:
    """`name: words` by name, where the words may go on in deeper lines; names may share words."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(block).splitlines():
        entry = None if line.startswith(" ") else _ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")
        for name in names:
            words = entry[2] if entry else line.strip()
            found[name] = f"{found.get(name, '')} {words}".strip()
    return found
