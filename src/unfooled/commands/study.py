"""The command `unfooled study`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unfooled import completing, shipped
from unfooled.command import (
    Address,
    Data,
    Device,
    Engine,
    Mlflow,
    Tensorboard,
    TimeLimit,
    Workers,
    means,
    trackers,
)
from unfooled.showing import performed, published, tracked
from unfooled.terminal import busy, err

if TYPE_CHECKING:
    from unfooled.report import Report
    from unfooled.study import Study


def study(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[FILE.toml | NAME]",
            help="A study file, or one of ours.",
            autocompletion=completing.studies,
        ),
    ] = "mnist",
    data: Data = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; runs/NAME if not given.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks per recipe.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Take this data set instead.", autocompletion=completing.datasets),
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    time_limit: TimeLimit = None,
    together: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--together",
            help="Train all seeds of a recipe at once, as one network; for a GPU.",
        ),
    ] = False,
    engine: Engine = "local",
    address: Address = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            help="The study to run where the data cannot be had.",
            autocompletion=completing.studies,
        ),
    ] = None,
    tensorboard: Tensorboard = None,
    mlflow: Mlflow = None,
) -> None:
    """Train the recipes, attack the networks, write the report."""
    wanted = trackers(tensorboard, mlflow)
    chosen = _asked(which, dataset, seeds)
    note = ""
    with busy("reading the data"):
        from unfooled import provenance
        from unfooled.errors import DataMissing

        try:
            chosen.data(data)
        except DataMissing as missing:
            if fallback is None:
                raise
            note = f"{chosen.dataset.upper()} could not be had, so these are other data"
            err.print(
                f"unfooled: {missing}\nunfooled: running the study {fallback!r} instead",
                markup=False,
                soft_wrap=True,
            )
            chosen, data, which = _asked(fallback, None, seeds), None, fallback
    folder = out_folder or Path("runs") / chosen.name
    well = performed(
        chosen,
        folder,
        data_folder=data,
        **means(device, workers, time_limit, engine, address),
        together=together,
        source=shipped.file(which).read_text(),
        note=note,
    )
    made = published(folder, provenance.code(chosen), well=well)
    if together:
        _one_by_one(made)
    # A file that was damaged since is a hole too, although no job has failed.
    if not (tracked(made, folder, wanted) and well) or made.has_holes:
        raise typer.Exit(1)


def _one_by_one(made: "Report") -> None:
    """Say which recipes did not have their seeds trained at once."""
    at_once = made.environment["together"]
    others = [one.title for one in made.study.recipes if one.name not in at_once]
    if others:
        err.print(
            f"unfooled: seeds trained one by one all the same: {', '.join(others)}",
            markup=False,
            soft_wrap=True,
        )


def _asked(which: str, dataset: str | None, seeds: int | None) -> "Study":
    """The study; a data set for which we have a study of its own brings that study's plan."""
    from unfooled import catalog

    if which == "mnist" and dataset in shipped.studies() and dataset in catalog.names("datasets"):
        which, dataset = str(dataset), None
    path = shipped.file(which)
    with busy("reading the study"):
        from unfooled import config

        return config.read(path, seeds=seeds, dataset=dataset)
