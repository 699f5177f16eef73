"""Pages about members: one for each attack and each defence, and one for each other open set.

What a member is called, takes and raises stands in its code, and is read from there. Its formula
is in `docs/attacks/NAME.md` or `docs/defences/NAME.md`, when to take an attack in docs/attacks.md.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from docstrings import told
from sources import ROOT, Sources

from unfooled import attack, catalog, defence, guide, shipped, transform

PAGED = ("attacks", "defences")  # whose members have a page each
# The other sets: the file that says what a member is, and the heading of the page.
SETS = {
    "models": ("model", "Networks"),
    "datasets": ("dataset", "Data sets"),
    "preprocessors": ("preprocessor", "Input defences"),
    "corruptions": ("corruption", "Corruptions"),
    "checks": ("check", "Checks of the audit"),
    "peers": ("peer", "Other libraries"),
    "engines": ("engine", "Engines"),
    "reports": ("report", "Reports"),
}
GIVEN: Mapping[str, tuple[str, ...]] = {"attacks": attack.GIVEN, "defences": defence.GIVEN}


def written(folder: str, name: str) -> str:
    """The file with the formula of an attack or a defence, seen from the repository's root."""
    return f"docs/{folder}/{name}.md"


def page(folder: str, name: str, sources: Sources, caption: str) -> str:
    """Everything about one attack or defence, under the heading of its own file.

    Args:
        caption: of its picture, which lies beside the page as NAME.svg; nothing for no picture.
    """
    heading, _, formula = sources.read(written(folder, name)).partition("\n")
    member = catalog.function(folder, name)
    said = told(member)
    parts = [heading, _lead(said.line)]
    if folder == "attacks":
        parts += [_facts(attack.find(name)), when(name, sources)]
    if caption:
        parts += [f"![{caption}]({name}.svg)", f"<p class='caption'>{caption}</p>"]
    parts += [formula.strip()]
    if said.body:
        parts += ["## What ours does", said.body]
    parts += ["## Options", _options(member, GIVEN[folder])]
    parts += _calls(name) if folder == "attacks" else [_in_study(name, member)]
    if said.raises:
        parts += ["## Errors", *(f"- `{error}`: {words}" for error, words in said.raises.items())]
    if said.source:
        parts += ["## Source", said.source[0].upper() + said.source[1:]]
    return "\n\n".join(parts) + "\n"


def when(name: str, sources: Sources) -> str:
    """What docs/attacks.md says about an attack, without its head; nothing if it does not."""
    text = (ROOT / "docs/attacks.md").read_text()
    head = rf"\*\*\[`{name}`\]\(attacks/{name}\.md\)\*\* \(\w+\)\. "
    found = re.search(head + r"(.+?)\n\n", text, re.DOTALL)
    return sources.adapted(found[1], "docs/attacks.md", f"attacks/{name}.md") if found else ""


def catalogue(folder: str) -> str:
    """One page about all members of a set."""
    singular, heading = SETS[folder]
    about = inspect.getdoc(importlib.import_module(f"unfooled.{singular}")) or ""
    parts = [f"# {heading}", about]
    for name in catalog.names(folder):
        member = catalog.function(folder, name)
        said = told(member)
        parts += [f"## `{name}`", _lead(said.line), said.body]
        given = tuple(GIVEN.get(folder, ("draws",)))
        if catalog.options(member, given):
            parts += [_options(member, given)]
        if said.source:
            parts += [f"Source: {said.source}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def transformations() -> str:
    """One page about torchvision's transformations, and which of them are batched here."""
    ways: dict[str, list[str]] = {}
    for name in transform.names():
        ways.setdefault(transform.how(name), []).append(name)
    parts = ["# Transformations", inspect.getdoc(transform) or ""]
    parts += ["[Recipes](../recipes.md#transformations) has pictures of them."]
    for how, names in sorted(ways.items()):
        lines = [f"- **`{name}`** {_escaped(transform.line(name))}" for name in names]
        parts += [f"## {how[0].upper()}{how[1:]}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def studies() -> str:
    """One page with every study file that comes with unfooled."""
    parts = ["# Study files", "They come with unfooled: `unfooled study NAME` runs one."]
    for name in shipped.studies():
        parts += [f"## {name}", f"```toml\n{shipped.file(name).read_text().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _lead(line: str) -> str:
    return line.replace("-", "\\-", 1) if line.startswith("-") else line


def _facts(found: attack.Attack) -> str:
    """What an attack knows, promises and takes, as a list of terms."""
    rows = [*guide.facts(found), ("passes", f"about {found.cost:,} for an image that stands")]
    return "\n\n".join(f"{what}\n:   {words}" for what, words in rows)


def _options(member: Callable[..., Any], given: Iterable[str]) -> str:
    said = told(member).options
    rows = [
        f"| `{name}` | `{default!r}` | {_escaped(said.get(name, ''))} |"
        for name, default in catalog.options(member, given).items()
    ]
    if not rows:
        return "None."
    return "\n".join(["| option | default | what it is |", "| --- | --- | --- |", *rows])


def _calls(name: str) -> list[str]:
    """How an attack is called from the command line and from a study file."""
    found = attack.find(name)
    return [
        "## How to call it",
        f"```console\n{guide.command(found)}\n```",
        f"```toml\n{guide.snippet(found)}\n```",
    ]


def _in_study(name: str, member: Callable[..., Any]) -> str:
    options = catalog.options(member, defence.GIVEN)
    words = ", ".join(
        [f'name = "{name}"', *(f"{o} = {_toml(v)}" for o, v in list(options.items())[:1])]
    )
    title = f"[recipes.{name}]\ndefence = {{ {words} }}"
    return f"## In a study file\n\n```toml\n{title}\n```"


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
