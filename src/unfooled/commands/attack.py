"""The command `unfooled attack`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unfooled import completing
from unfooled.command import Data, Device, Mean, Std, Weights
from unfooled.terminal import Interrupted, busy, err, out

if TYPE_CHECKING:
    from unfooled.crafting import Crafted


def attack(
    model: Annotated[
        str,
        typer.Option(
            help="A network of a run, such as runs/mnist/models/plain-0.safetensors; or "
            "mine.py:FUNCTION, timm:NAME, FILE.pt2, FILE.onnx with --dataset."
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--attack",
            help="See: unfooled list attacks.",
            autocompletion=completing.attacks,
        ),
    ] = "pgd",
    eps: Annotated[
        str | None,
        typer.Option(help="Such as 0.1, 8/255, or inf for the nearest; else a usual one."),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="Such as L2; else the attack's first.", autocompletion=completing.norms),
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Test images.")] = 100,
    targets: Annotated[
        str | None,
        typer.Option(help="runner_up, least_likely, random, every, or a class. Else any will do."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Of the attack, such as steps=10; may be repeated.")
    ] = None,
    surrogate: Annotated[
        list[Path] | None,
        typer.Option(help="Weights of a network that transfer crafts on; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the attack's chance.")] = 0,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    dataset: Annotated[str | None, typer.Option(help="Other than it was trained on.")] = None,
    data: Data = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results; runs/attacks/... if none.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Run an attack on a network of a run, and keep the images that it makes."""
    try:
        with busy("reading the network"):
            import torch

            from unfooled import arguments, crafting, exhibit, guide, run
            from unfooled.targets import find as aim

            where = torch.device(run.chosen(device))
            load = partial(crafting.load, named=dataset, folder=data, device=where)
            others = tuple(load(path) for path in surrogate or [])
            chosen = crafting.find(name, arguments.options(option or []), others)
            norm = chosen.norms[0] if norm is None else norm
            threat = arguments.threat(norm, guide.usual(chosen, norm) if eps is None else eps)
            order = crafting.Order(chosen, threat, n, targets, seed, others)
            saved = load(
                model, weights=weights, mean=arguments.numbers(mean), std=arguments.numbers(std)
            )
            if targets is not None:
                aim(targets, saved.data.classes)
            called = f"{saved.short}-{name.rpartition(':')[2]}-{norm}-{threat.eps:g}"
            folder = out_folder or Path("runs") / "attacks" / called
            exhibit.ready(folder)
        with busy("attacking"):
            crafted = crafting.craft(saved, order)
    except Interrupted:
        err.print("\nunfooled: interrupted; nothing was written", soft_wrap=True)
        raise
    with busy("writing the images"):
        paths = exhibit.save(crafted, folder)
    _told_attack(crafted, paths)


def _told_attack(crafted: "Crafted", paths: list[Path]) -> None:
    """A short table and the files."""
    from rich.table import Table

    from unfooled import guide

    order = crafted.order
    title = f"{order.attack.name}, {order.threat}, on {crafted.saved.path}"
    out.print(Text(title, "bold"), soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    for row in guide.summary(crafted):
        table.add_row(*map(Text, row))
    out.print(table)
    for path in paths:
        out.print(f"  {path}", soft_wrap=True, markup=False)
