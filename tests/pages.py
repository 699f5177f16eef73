"""The documentation as the tests see it: pages, their code blocks, and the commands in them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(
        ROOT / f"{name}.md"
        for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CONVENTIONS", "SECURITY")
    ),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^ *```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: where it stands.
        language: what it says that it is; "" if it does not.
        title: of the file that it shows; "" if none.
        text: without indentation.
    """

    page: Path
    language: str
    title: str
    text: str

    def commands(self) -> list[str]:
        """The lines that call unfooled, without comments; those with a prompt, if there are any."""
        lines = self.text.replace("\\\n", " ").splitlines()
        begins = "$ unfooled " if any(line.startswith("$ ") for line in lines) else "unfooled "
        found = [line.removeprefix("$ ") for line in lines if line.startswith(begins)]
        return [re.sub(r"\s+#.*", "", line) for line in found]


def short(page: Path) -> str:
    """Its name, as tests are called."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Every block of code of a page, in order."""
    return [
        Block(page, one["language"], one["title"] or "", textwrap.dedent(one["text"]))
        for one in _BLOCK.finditer(page.read_text())
    ]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _BLOCK.sub("", page.read_text())


def commands(page: Path) -> Iterator[str]:
    """Every call of unfooled that a page shows, in blocks of code and between words."""
    for block in blocks(page):
        yield from block.commands()
    for call in re.findall(r"`(unfooled [^`]+)`", prose(page)):
        yield " ".join(call.split())


def anchors(page: Path) -> set[str]:
    """What a link may point to within a page: its headings, as code hosts write them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
