"""The command `unfooled report`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.showing import published


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Write a run's report again from its facts, without training or attacking."""
    published(run)
