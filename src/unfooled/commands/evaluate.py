"""The command `unfooled evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.command import (
    Address,
    Attacks,
    Data,
    Dataset,
    Device,
    Engine,
    Eps,
    Mean,
    Mlflow,
    N,
    Norm,
    Option,
    Out,
    Size,
    Std,
    Tensorboard,
    TimeLimit,
    Workers,
    means,
    trackers,
)
from unfooled.showing import performed, published, tracked
from unfooled.terminal import busy, typed


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="One, or several side by side: networks of a run, mine.py:FUNCTION, timm:NAME, "
            "FILE.pt2 or FILE.onnx.",
        ),
    ],
    dataset: Dataset = None,
    norm: Norm = "Linf",
    eps: Eps = None,
    attack: Attacks = None,
    option: Option = None,
    n: N = 1000,
    weights: Annotated[
        list[Path] | None, typer.Option(help="Of a network with a name; once for each MODEL.")
    ] = None,
    mean: Mean = None,
    std: Std = None,
    size: Size = None,
    data: Data = None,
    out_folder: Out = None,
    device: Device = "auto",
    workers: Workers = None,
    time_limit: TimeLimit = None,
    engine: Engine = "local",
    address: Address = None,
    tensorboard: Tensorboard = None,
    mlflow: Mlflow = None,
) -> None:
    """Examine, attack and certify networks of your own, and write the report."""
    wanted = trackers(tensorboard, mlflow)
    with busy("reading the networks"):
        from unfooled import provenance
        from unfooled.asking import Words, asked

        found = asked(
            Words(
                models=models,
                dataset=dataset,
                norm=norm,
                eps=eps,
                attacks=attack or (),
                options=option or (),
                n=n,
                weights=weights or (),
                mean=mean,
                std=std,
                size=size,
                folder=data,
            )
        )
    folder = out_folder or Path("runs") / found.name
    well = performed(
        found.study,
        folder,
        data_folder=found.folder,
        **means(device, workers, time_limit, engine, address),
        note=found.note,
        command=typed(),
    )
    made = published(folder, provenance.code(found.study), well=well)
    # A file that was damaged since is a hole too, although no job has failed.
    if not (tracked(made, folder, wanted) and well) or made.has_holes:
        raise typer.Exit(1)
