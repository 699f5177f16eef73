"""The command `unfooled report`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.command import Mlflow, Tensorboard, trackers
from unfooled.showing import published, tracked


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    tensorboard: Tensorboard = None,
    mlflow: Mlflow = None,
) -> None:
    """Write a run's report again from its facts, without training or attacking."""
    wanted = trackers(tensorboard, mlflow)
    if not tracked(published(run), run, wanted):
        raise typer.Exit(1)
