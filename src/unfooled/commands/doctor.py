"""The command `unfooled doctor`."""

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from unfooled.command import Data, Dataset, Device, Mean, Model, N, Std, Weights, loaded
from unfooled.terminal import busy, out

if TYPE_CHECKING:
    from unfooled.crafting import Saved
    from unfooled.finding import Finding

_COLOURS = {"ok": "green", "fixed": "cyan", "doubt": "yellow", "refused": "red"}


def doctor(
    model: Model,
    dataset: Dataset = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Data = None,
    n: N = 200,
    device: Device = "auto",
) -> None:
    """Check in seconds whether a model can be evaluated, and say what would do if not."""
    with busy("reading the network"):
        saved = loaded(
            model,
            n,
            dataset=dataset,
            data=data,
            device=device,
            weights=weights,
            mean=mean,
            std=std,
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
