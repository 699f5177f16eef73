"""Notebooks as pages: their words, their code, and what it showed when it was last run."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sources import ROOT, Sources

# Of what a cell shows, the form that is taken: the first that there is.
_PICTURES = {"image/svg+xml": "svg", "image/png": "png"}


def page(name: str, sources: Sources, folder: Path) -> str:
    """A notebook as Markdown; its pictures are written into the folder, where the page will be."""
    parts = []
    for number, cell in enumerate(json.loads((ROOT / name).read_text())["cells"]):
        text = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(sources.adapted(text, name, sources.pages[name]))
        elif cell["cell_type"] == "code" and text:
            parts.append(_fenced(text, "python"))
            for place, output in enumerate(cell["outputs"]):
                target = folder / f"{Path(name).stem}-{number}-{place}"
                parts.extend(_shown(output, target))
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any], target: Path) -> Iterator[str]:
    """What a cell showed: a picture, a table, or text."""
    data = output.get("data", {})
    for kind, ending in _PICTURES.items():
        if kind in data:
            content = _joined(data[kind])
            raw = content.encode() if ending == "svg" else base64.b64decode(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_suffix(f".{ending}").write_bytes(raw)
            words = " ".join(_joined(data.get("text/plain", "")).split()).strip("<>")
            yield f"![{words}]({target.name}.{ending})"
            return
    if "text/html" in data:
        lines = (line for line in _joined(data["text/html"]).splitlines() if line.strip())
        yield "<div class='output'>\n" + "\n".join(lines) + "\n</div>"
    elif "text/markdown" in data:
        yield _joined(data["text/markdown"])
    else:
        text = _joined(output.get("text", data.get("text/plain", "")))
        if text.strip():
            yield _fenced(text.rstrip(), "text")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def _joined(text: str | list[str]) -> str:
    """Notebooks hold a text whole, or line by line."""
    return text if isinstance(text, str) else "".join(text)
