"""The command `unfooled report`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.showing import published, published_beside


def report(
    run: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    *,
    out: Annotated[Path, typer.Option(help="Where several runs are laid side by side.")] = Path(
        "runs/beside"
    ),
) -> None:
    """Write a run's report again from its facts, or lay several runs side by side."""
    if len(run) == 1:
        published(run[0])
    else:
        published_beside(run, out)
