"""A page of the repository as a page of the site: what it includes, where its links lead, formulas.

The Markdown files of the repository are the source of the site, and read well where they lie. On
their way into the site links are bent to the places that pages have there, and formulas between
dollar signs become MathML. What stands between `<!-- include README.md: HEADING -->` and
`<!-- /include -->`, a link for those who read the file elsewhere, gives way to that section.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from formulas import with_formulas

ROOT = Path(__file__).parents[1]
# Pages that do not lie in docs/, and where the site has them.
OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONVENTIONS.md": "project/conventions.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
_FENCED = re.compile(r"(^ *```.*?^ *```\n?|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")  # what stands before it may be code
_INCLUDE = re.compile(r"<!-- include (\S+): (.+?) -->\n.*?<!-- /include -->", re.DOTALL)
_MEMBER = re.compile(r"src/unfooled/(attacks|defences)/(?!__)(\w+)\.py")
_STUDY = re.compile(r"studies/(\w+)\.toml")


class Broken(Exception):
    """A page points to what is not there."""


@dataclass
class Sources:
    """The pages of the repository, and the files that they turned out to need.

    Attributes:
        pages: from a file, seen from the root of the repository, to its page in the site.
        assets: likewise, of pictures and other files that pages point to; grows as pages are read.
    """

    pages: Mapping[str, str]
    assets: dict[str, str] = field(default_factory=dict)

    @classmethod
    def found(cls) -> "Sources":
        """All that there are."""
        docs = ROOT / "docs"
        inside = {
            path.relative_to(ROOT).as_posix(): path.relative_to(docs).as_posix()
            for path in sorted(docs.rglob("*.md"))
        }
        notebooks = {
            path.relative_to(ROOT).as_posix(): f"notebooks/{path.stem}.md"
            for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        }
        outside = {name: page for name, page in OUTSIDE.items() if (ROOT / name).exists()}
        return cls({**outside, **notebooks, **inside})

    def read(self, name: str) -> str:
        """A page of the repository, as the site has it.

        Raises:
            Broken: it points to, or includes, what is not there.
        """
        return self.adapted((ROOT / name).read_text(), name, self.pages[name])

    def adapted(self, text: str, name: str, page: str) -> str:
        """Text that stands in one file of the repository, for a page of the site."""

        def link(match: re.Match[str]) -> str:
            return f"{match[1]}{self._led(match[2], name, page)}{match[3]}"

        def plain(text: str) -> str:
            # Code hosts know an escaped sign, other readers of Markdown do not.
            return with_formulas(_LINK.sub(link, text).replace("\\<", "&lt;"))

        parts, end = [], 0
        for found in _INCLUDE.finditer(text):
            parts += [outside_code(text[end : found.start()], plain)]
            parts += [self.adapted(section(found[1], found[2]), found[1], page)]
            end = found.end()
        return "".join([*parts, outside_code(text[end:], plain)])

    def _led(self, address: str, name: str, page: str) -> str:
        """Where a link of a file leads within the site, seen from the page."""
        file, mark, anchor = address.partition("#")
        if "://" in address or not file:
            return address
        there = os.path.normpath(PurePosixPath(name).parent / file)
        if not (ROOT / there).exists():
            raise Broken(f"{name} points to {address}, which is not there")
        if member := _MEMBER.fullmatch(there):
            target = f"{member[1]}/{member[2]}.md"
        elif study := _STUDY.fullmatch(there):
            target, mark, anchor = "reference/studies.md", "#", study[1]
        elif there in self.pages:
            target = self.pages[there]
            if there == "README.md":  # of which the front page has but a part
                mark = anchor = ""
        else:
            target = self.assets[there] = there.removeprefix("docs/")
        return f"{os.path.relpath(target, PurePosixPath(page).parent)}{mark}{anchor}"


def section(name: str, heading: str) -> str:
    """What stands in a file of the repository under a heading, without the heading.

    Raises:
        Broken: there is no such heading.
    """
    text = (ROOT / name).read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.M | re.S)
    if found is None:
        raise Broken(f"{name} has no heading {heading!r}")
    return found[2].strip()


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with what is no code changed."""
    parts = _FENCED.split(text)
    return "".join(part if place % 2 else change(part) for place, part in enumerate(parts))
