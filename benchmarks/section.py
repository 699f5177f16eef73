"""A benchmark's own section in docs/benchmarks.md, between `<!-- NAME -->` and `<!-- /NAME -->`."""

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_TITLE = """# Benchmarks

Every section is written by the script that it names, with `--write`.
"""


def publish(name: str, title: str, basis: str, body: str, *, write: bool) -> None:
    """Print a section and, where wanted, put it in its place on the page.

    Args:
        name: of the script, and of the marks on the page.
        title: heading of the section.
        basis: what n is.
        body: Markdown.
        write: whether to replace the section on the page, or add it if there is none.
    """
    head = f"`{command()}`; {machine()}; {datetime.datetime.now(datetime.UTC).date()}; {basis}."
    section = f"<!-- {name} -->\n## {title}\n\n{head}\n\n{body.strip()}\n<!-- /{name} -->\n"
    print(section)
    if not write:
        return
    page = PAGE.read_text() if PAGE.exists() else _TITLE
    marked = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->\n", re.DOTALL)
    found = marked.search(page)
    page = marked.sub(lambda _: section, page) if found else f"{page.rstrip()}\n\n{section}"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    print(f"written to {PAGE}", file=sys.stderr)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every column but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def command() -> str:
    """The command that runs now; folders, which are this machine's own, as DIR."""
    words = ["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    return re.sub(r"(--data|--out|--plain|--certified|--run)[ =]\S+", r"\1 DIR", shlex.join(words))


def machine() -> str:
    """Processor, cores that this process may use, and versions, in one line."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{names[0] if names else platform.processor() or platform.machine()}, {cores} cores, "
        f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}"
    )
