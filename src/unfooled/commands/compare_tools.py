"""The command `unfooled compare-tools`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unfooled.command import Data, Dataset, Device, Mean, N, Std, Weights, loaded
from unfooled.terminal import busy, out

if TYPE_CHECKING:
    from unfooled.comparing import Compared
    from unfooled.crafting import Saved
    from unfooled.threat import Threat


def compare_tools(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A network of a run, mine.py:FUNCTION, timm:NAME, FILE.pt2."
        ),
    ],
    attack: Annotated[
        str, typer.Option(help="fgsm, pgd, apgd, ddn, fmn, square, autoattack or hopskipjump.")
    ] = "pgd",
    eps: Annotated[str | None, typer.Option(help="Such as 0.1 or 8/255; else a usual one.")] = None,
    norm: Annotated[str | None, typer.Option(help="Such as L2; else the attack's first.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of each image, or queries.")] = 40,
    n: N = 100,
    tool: Annotated[
        list[str] | None, typer.Option(help="One of unfooled list peers; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the attacks' chance.")] = 0,
    dataset: Dataset = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """The same attack through other libraries, what they say, and what our judge finds."""
    with busy("reading the network"):
        from unfooled import arguments, comparing, guide, peer
        from unfooled.attack import find

        chosen = find(attack)
        norm = chosen.norms[0] if norm is None else norm
        threat = arguments.threat(norm, f"{guide.USUAL.get(norm, 0.1):g}" if eps is None else eps)
        chosen.takes(threat)
        peers = [peer.find(name) for name in dict.fromkeys(("unfooled", *(tool or peer.names())))]
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
        saved.loaded.takes(chosen)
    with busy("attacking"):
        images, labels = saved.sampled(n)
        found = comparing.compare(
            saved.network,
            images,
            labels,
            threat,
            attack=attack,
            budget=steps,
            peers=peers,
            seed=seed,
        )
    _told_compared(saved, found, threat)


def _told_compared(saved: "Saved", found: "list[Compared]", threat: "Threat") -> None:
    from rich.table import Table

    from unfooled.comparing import reasons

    task = found[0].task
    steps = "" if task.attack == "fgsm" else f", {task.budget} steps"
    words = f"{task.attack}{steps}, {threat}, on {saved.path} ({saved.data.title})"
    out.print(Text(words, "bold"), soft_wrap=True)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for place, column in enumerate(
        ("tool", "version", "says", "judged", "distance", "outside", "seconds")
    ):
        table.add_column(column, justify="right" if place > 1 else "left", no_wrap=True)
    for one in found:
        table.add_row(*_cells(one))
    out.print(table)
    for one in found:
        for sentence in [one.missing] if one.missing else reasons(one, found[0], threat):
            out.print(f"  {one.peer.name}: {sentence}", markup=False, soft_wrap=True)


def _cells(one: "Compared") -> list[str]:
    import numpy as np

    from unfooled.wording import percent

    head = [one.peer.name, one.peer.version or "absent"]
    if one.facts is None:
        return [*head, "-", "-", "-", "-", "-"]
    facts = one.facts
    won = facts.correct & facts.fooled[0]
    distance = f"{np.median(facts.distance[0][won]):.4g}" if won.any() else "-"
    outside = int((facts.correct & ~facts.inside[0]).sum())
    judged = percent(float(facts.robust[0].mean()))
    return [*head, percent(one.says), judged, distance, str(outside), f"{one.seconds:.2f}"]
