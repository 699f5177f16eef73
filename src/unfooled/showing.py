"""What the terminal shows of a run: a bar while it is under way, then its answer."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from unfooled.errors import UnfooledError
from unfooled.terminal import Interrupted, busy, err, lively, out

if TYPE_CHECKING:
    from unfooled.report import Report
    from unfooled.run import Step
    from unfooled.study import Study
    from unfooled.tracker import Tracker


def performed(chosen: "Study", folder: Path, **how: Any) -> bool:
    """Do a study's jobs, as `run.run` does with what else it is told; whether all went well."""
    with _progress(chosen, folder) as on_step:
        from unfooled.run import reasons, run

        failed = run(chosen, folder, on_step=on_step, **how)
    for reason in reasons(failed, chosen):
        err.print(f"unfooled: {reason}", markup=False, soft_wrap=True)
    return not failed


@contextmanager
def _progress(chosen: "Study", folder: Path) -> Iterator[Callable[["Step"], None]]:
    """A bar on a terminal, nothing elsewhere; after Ctrl-C a line on how to go on."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[jobs]} jobs"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=err,
        transient=True,
        disable=not lively(),
        speed_estimate_period=120,
    )
    task = bar.add_task(f"{chosen.name}: starting", total=1.0, jobs="0")

    def on_step(step: "Step") -> None:
        bar.update(task, completed=step.share, jobs=f"{step.finished}/{step.total}")
        if step.aside:
            err.print(
                f"unfooled: {step.aside} finished jobs are done again, since code of them was "
                f"changed; what they had found lies in {folder / 'earlier'}",
                markup=False,
                soft_wrap=True,
            )
        if step.event is not None:
            bar.update(task, description=f"{chosen.name}: {step.event.job.name(chosen)}")

    try:
        with bar:
            yield on_step
    except Interrupted as ending:
        err.print(
            f"\nunfooled: {ending}. What was finished is kept in {folder}; the same command "
            "goes on from there.",
            soft_wrap=True,
        )
        raise


def published(folder: Path, allow: Collection[str], *, well: bool = True) -> "Report":
    """Write a run's report, and show its answer and where it is; `allow` as in `gather`.

    Args:
        well: whether no job failed; else a run without any result ends with 1, as one with some.
    """
    with busy("writing the report"):
        from unfooled.errors import RunRefused
        from unfooled.publishing import publish
        from unfooled.report import gather

        try:
            made = gather(folder, allow=allow)
        except RunRefused as error:
            if well:
                raise
            err.print(f"unfooled: {error}", markup=False, soft_wrap=True)
            raise typer.Exit(1) from error
        paths = publish(made, folder)
    _told(made)
    for path in paths:
        out.print(f"  {path}", soft_wrap=True, markup=False)
    return made


def published_beside(
    folders: Sequence[Path], out_folder: Path, allow: Collection[str]
) -> "list[Report]":
    """Lay several runs side by side, and show where that is; `allow` as in `gather`.

    Raises:
        RunRefused: one of them holds no run, or is named twice.
    """
    with busy("laying them side by side"):
        from unfooled.errors import RunRefused
        from unfooled.publishing import publish_beside
        from unfooled.report import gather

        if len({folder.resolve() for folder in folders}) < len(folders):
            raise RunRefused("a run is named twice; name each once")
        names = [folder.resolve().name for folder in folders]
        titles = [
            name if names.count(name) == 1 else str(folder)
            for name, folder in zip(names, folders, strict=True)
        ]
        reports = {
            title: gather(one, allow=allow) for title, one in zip(titles, folders, strict=True)
        }
        paths = publish_beside(reports, out_folder)
    for title, made in reports.items():
        out.print(Text(title, style="bold"), end=" ")
        out.print(f"{made.answer.short} {made.answer.sentence}", markup=False, highlight=False)
    out.print()
    for path in paths:
        out.print(f"  {path}", soft_wrap=True, markup=False)
    return list(reports.values())


def tracked(made: "Report", folder: Path, trackers: "Sequence[Tracker]") -> bool:
    """Write a run to each tracker, and show where; whether all went well."""
    well = True
    for one in trackers:
        try:
            with busy(f"writing to {one.name}"):
                place = one.track(made, folder)
        except UnfooledError as error:  # the run and its report are there
            err.print(f"unfooled: {error}", markup=False, soft_wrap=True)
            well = False
        else:
            out.print(f"  {one.name}: {place}", soft_wrap=True, markup=False)
    return well


def _told(made: "Report") -> None:
    """A short table and the answer."""
    from rich.table import Table

    from unfooled.tables import summary

    head, rows = summary(made)
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for place, column in enumerate(head):
        table.add_column(column, justify="right" if 0 < place < 5 else "left", no_wrap=place > 0)
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
    out.print()
    out.print(f"[bold]{made.answer.short}[/bold] ", end="")
    out.print(made.answer.sentence, markup=False, highlight=False)
    for doubt in made.answer.doubts:
        mark = "Doubt" if doubt.serious else "Note"
        out.print(f"{mark}: {doubt.sentence}", markup=False, highlight=False)
    out.print()
