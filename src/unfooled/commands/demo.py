"""The command `unfooled demo`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from unfooled.command import Data, Device
from unfooled.terminal import Interrupted, busy, err, out


def demo(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="Folder of a study or an evaluation; else the newest under runs/; else a small "
            "study on scikit-learn's digits, trained in seconds.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets others on the network in.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="8765, or the next free one, if not given.")
    ] = None,
    no_browser: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Draw a digit, fool the networks of a run live, and see what each reads."""
    with busy("starting"):
        from unfooled.demo import hosting
    with hosting.door(host, port) as door:
        with busy("reading the networks"):
            hall, which = hosting.hall(run, data=data, device=device, names=door.names)
        for note in filter(None, (which, door.note)):
            err.print(f"unfooled: {note}", markup=False, soft_wrap=True)
        out.print(f"The page is at [bold]{door.address}[/bold] (Ctrl-C ends it).", soft_wrap=True)
        opened = (lambda: None) if no_browser else door.open
        try:
            with _progress() as told:
                hosting.serve(hall, door, device=device, opened=opened, told=told)
        except Interrupted:
            out.print("\nThe page is closed.")


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal while networks are trained; elsewhere a line for each."""
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("training: {task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = bar.add_task("starting", total=1.0)
    said: list[str] = []

    def told(share: float, words: str) -> None:
        if not said:
            bar.start()
        if words not in said:
            said.append(words)
            if not err.is_terminal:
                err.print(f"training: {words}" if share < 1 else "trained", soft_wrap=True)
        bar.update(task, completed=share, description=words)
        if share >= 1:
            bar.stop()

    try:
        yield told
    finally:
        bar.stop()
