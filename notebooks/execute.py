"""Makes ae_attack.ipynb from ae_attack.py: converts it, runs it, and keeps what comes out.

python notebooks/execute.py [NAME=VALUE ...]

The values take the place of those in the cell of parameters; then the result is not kept, as it is
not what the source says: it is written to the folder `runs`.
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

SOURCE = Path(__file__).with_name("ae_attack.py")
TARGET = SOURCE.with_suffix(".ipynb")
_SECONDS = 1800  # that a cell may take on a slow machine


def converted(source: Path, given: Mapping[str, Any]) -> NotebookNode:
    """The notebook without outputs; the same source always gives the same file.

    Args:
        source: a script with cells.
        given: values that take the place of those in the cell tagged "parameters".
    """
    notebook = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python"},
    }
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place:02}"  # jupytext would draw it anew each time
        if given and "parameters" in cell.metadata.get("tags", ()):
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
    return notebook


def executed(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The same with its outputs, run from top to bottom in that folder.

    Raises:
        CellExecutionError: a cell raised.
    """
    client = NotebookClient(
        notebook,
        timeout=_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # how many pieces a text came in is chance
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}  # its version would change
    return notebook


def main(given: Mapping[str, Any]) -> Path:
    """Where the notebook that was run lies."""
    target = TARGET if not given else Path("runs") / TARGET.name
    target.parent.mkdir(exist_ok=True)
    nbformat.write(executed(converted(SOURCE, given), SOURCE.parent), target)
    return target


def _value(text: str) -> Any:
    """A number or whatever else Python reads; plain words as they are."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[1:])
    print(main({name: _value(value) for name, _, value in pairs}))
