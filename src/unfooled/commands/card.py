"""The command `unfooled card`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.command import Allow
from unfooled.terminal import busy, err, out


def card(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    allow: Allow = None,
) -> None:
    """Write a robustness card for every network of a run: Markdown with a YAML head, and JSON."""
    with busy("reading the run"):
        from unfooled import card as cards
        from unfooled import store
        from unfooled.errors import RunRefused
        from unfooled.report import gather

        report = gather(run, allow=allow or ())
        made = cards.cards(report)
        folder = run / "cards"
        if folder.is_symlink():
            raise RunRefused(f"{folder} is a link, and leads out of the run's folder")
        folder.mkdir(exist_ok=True)
        for name, one in made.items():
            store.write(folder / f"{name}.json", cards.as_json(one))
            store.write(folder / f"{name}.md", cards.as_markdown(one))
    for name in made:
        for ending in ("md", "json"):
            out.print(f"  {folder / name}.{ending}", markup=False, soft_wrap=True)
    left = cards.left_out(report)
    for sentence in left:
        err.print(
            f"unfooled: {sentence}; the command that made the run does it again, and unfooled "
            f"verify {run} says what is wrong",
            markup=False,
            soft_wrap=True,
        )
    if left:
        raise typer.Exit(1)
