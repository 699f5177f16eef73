"""The command `unfooled demo`."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from unfooled.command import Data, Device
from unfooled.errors import InvalidOption
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
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the page into this folder instead, as files that any web server can show: "
            "all is computed in the visitor's browser. Without RUN it is about the digits."
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(help="For --export without a network: the npm package, as file or folder."),
    ] = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Draw a digit, fool the networks of a run live, and see what each reads."""
    if export is not None:
        _exported(run, export, runtime, data=data, device=device)
        return
    if runtime is not None:
        raise InvalidOption("--runtime is for --export alone; add --export FOLDER, or leave it out")
    with busy("starting"):
        from unfooled.demo import hosting
    with hosting.door(host, port) as door:
        with busy("reading the networks"):
            hall, which = hosting.hall(run, data=data, device=device, names=door.names)
        for note in filter(None, (which, door.note)):
            err.print(f"unfooled: {note}", markup=False, soft_wrap=True)
        address = Text(door.address, style="bold")
        out.print("The page is at", address, "(Ctrl-C ends it).", soft_wrap=True)
        out.file.flush()  # into a pipe it would be written when the page is closed
        opened = (lambda: None) if no_browser else door.open
        try:
            with _progress() as told:
                hosting.serve(hall, door, device=device, opened=opened, told=told)
        except Interrupted:
            out.print("\nThe page is closed.")


def _exported(
    run: Path | None, folder: Path, runtime: Path | None, *, data: Path | None, device: str
) -> None:
    """The page in a folder, and how to look at it."""
    with busy("looking for ONNX Runtime Web, which npm fetches the first time"):
        from unfooled.demo import homemade, opening, site
        from unfooled.demo import runtime as onnx_web
        from unfooled.run import chosen

        site.free(folder)
        found, place = onnx_web.files(runtime), chosen(device)
    with busy("reading the networks"):
        game = None if run is None else opening.of_run(run, data=data, device=place)
    if game is None:
        with _progress() as told:
            game = homemade.homemade(told, device=place)
    with busy("writing the page"):
        made = site.write(game, folder, found)
    for sentence in made.left_out:
        err.print(f"unfooled: {sentence}", markup=False, soft_wrap=True)
    out.print(
        Text(str(folder), style="bold"),
        f"holds the page about {len(made.recipes)} networks: {made.files} files, "
        f"{made.size / 1e6:.1f} MB, of which {sum(map(len, found.values())) / 1e6:.1f} MB are "
        "ONNX Runtime Web.",
        soft_wrap=True,
    )
    words = f"To look at it: python -m http.server -d {shlex.quote(str(folder))} 8000"
    out.print(f"{words}, then open http://localhost:8000", markup=False, soft_wrap=True)


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
