"""The command `unfooled doctor`; `cli.py` has the others, and the door."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unfooled.terminal import busy, out

if TYPE_CHECKING:
    from unfooled.crafting import Saved
    from unfooled.finding import Finding

_COLOURS = {"ok": "green", "fixed": "cyan", "doubt": "yellow", "refused": "red"}

# What every command asks about a network of the user's own.
Weights = Annotated[
    Path | None, typer.Option(help="Of a network with a name: .safetensors, .pt or .pth.")
]
Mean = Annotated[
    str | None, typer.Option(help="Of the pixels, to normalise by: 0.5, or 0.49,0.48,0.45.")
]
Std = Annotated[str | None, typer.Option(help="Likewise.")]


def doctor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A network of a run, mine.py:FUNCTION, timm:NAME, FILE.pt2 or FILE.onnx.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Whose test images it shall read; a run knows its own.")
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    n: Annotated[int, typer.Option("--n", help="Test images.")] = 200,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Check in seconds whether a model can be evaluated, and say what would do if not."""
    with busy("reading the network"):
        import torch

        from unfooled import arguments, crafting, run
        from unfooled.errors import InvalidInput

        if n < 1:
            raise InvalidInput(f"the number of images must be at least 1; it is {n}")
        saved = crafting.load(
            model,
            named=dataset,
            folder=data,
            device=torch.device(run.chosen(device)),
            weights=weights,
            mean=arguments.numbers(mean),
            std=arguments.numbers(std),
        )
    with busy("examining it"):
        from unfooled.doctor import examine

        images, labels = saved.sampled(n)
        found = examine(saved.network, images, labels, len(saved.data.classes))
    _told(model, saved, found)
    if any(one.verdict == "refused" for one in found):
        raise typer.Exit(1)


def _told(model: str, saved: "Saved", found: "list[Finding]") -> None:
    from rich.table import Table

    out.print(Text(f"{model}, on {saved.data.title}", "bold"), soft_wrap=True)
    for note in saved.loaded.notes:
        out.print(f"  {note}", markup=False, soft_wrap=True)
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for column in ("check", "verdict", ""):
        table.add_column(column, no_wrap=bool(column))
    for one in found:
        table.add_row(one.check, Text(one.verdict, _COLOURS[one.verdict]), Text(one.sentence))
    out.print(table)
