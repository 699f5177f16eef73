"""The command `unfooled verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unfooled.command import Allow, Data, Device, Mean, Std, Weights
from unfooled.terminal import busy, out

if TYPE_CHECKING:
    from unfooled.rejudging import Verified


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Of unfooled attack, or of a study's run.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Where the attacked network lies, if not where the facts say."),
    ] = None,
    allow: Allow = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Judge saved adversarial images again from the files alone; exits with 1 if some fall."""
    with busy("reading the files"):
        import torch

        from unfooled import arguments, auditing, kept, provenance, run, verifying
        from unfooled.errors import InvalidOption

        chosen = run.chosen(device)
        of_study = (folder / "ledger.sqlite").exists()
        given = {"weights": weights, "mean": mean, "std": std}
        extra = [name for name, value in given.items() if value is not None]
        if extra and model is None:
            raise InvalidOption(f"--{extra[0]} belongs to a network that --model names")
        if of_study and model is not None:
            raise InvalidOption(f"{folder} is a study's, which knows its networks; drop --model")
    with busy("judging again"):
        if of_study:
            provenance.vetted(folder, auditing.code(folder), allow or ())
            found = auditing.audit(folder, data=data, device=chosen)
        else:
            left = kept.read(folder)
            provenance.vetted(folder, kept.code(left, model), allow or ())
            saved = kept.network(
                left,
                model,
                folder=data,
                device=torch.device(chosen),
                weights=weights,
                mean=arguments.numbers(mean),
                std=arguments.numbers(std),
            )
            found = verifying.verify(left, saved)
    _told_verified(found)
    if found.failures:
        raise typer.Exit(1)


def _told_verified(found: "Verified") -> None:
    out.print(Text(found.title, "bold"), soft_wrap=True)
    out.print(
        f"  {found.standing:,} of {found.images:,} images are what their facts say, "
        f"{found.whole:,} of {found.files:,} files have their hash",
        soft_wrap=True,
    )
    for failure in found.failures:
        out.print(Text(f"  {failure}", "red"), soft_wrap=True)
    for note in found.notes:
        out.print(f"  note: {note}", markup=False, soft_wrap=True)
