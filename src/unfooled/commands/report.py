"""The command `unfooled report`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.command import Allow, Mlflow, Tensorboard, trackers
from unfooled.errors import InvalidOption
from unfooled.showing import published, published_beside, tracked


def report(
    run: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    *,
    out: Annotated[Path, typer.Option(help="Where several runs are laid side by side.")] = Path(
        "runs/beside"
    ),
    allow: Allow = None,
    tensorboard: Tensorboard = None,
    mlflow: Mlflow = None,
) -> None:
    """Write a run's report again from its facts, or lay several runs side by side."""
    wanted = trackers(tensorboard, mlflow)
    names = [one.resolve().name for one in run]
    if wanted and len(set(names)) < len(names):
        raise InvalidOption(
            f"a tracker calls runs by their folders, and {max(names, key=names.count)} comes "
            "twice; send them one by one"
        )
    made = published_beside(run, out, allow or ()) if run[1:] else [published(run[0], allow or ())]
    well = [tracked(one, folder, wanted) for one, folder in zip(made, run, strict=True)]
    if not all(well):
        raise typer.Exit(1)
