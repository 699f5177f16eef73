"""The command `unfooled card`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.terminal import busy, out


def card(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Write a robustness card for every network of a run: Markdown with a YAML head, and JSON."""
    with busy("reading the run"):
        from unfooled import card as cards
        from unfooled import store
        from unfooled.report import gather

        made = cards.cards(gather(run))
        folder = run / "cards"
        folder.mkdir(exist_ok=True)
        for name, one in made.items():
            store.write(folder / f"{name}.json", cards.as_json(one))
            store.write(folder / f"{name}.md", cards.as_markdown(one))
    for name in made:
        for ending in ("md", "json"):
            out.print(f"  {folder / name}.{ending}", markup=False, soft_wrap=True)
