"""The command line. Torch is imported by the commands that need it, so that --help is quick."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from unfooled import __version__, commands, workbench
from unfooled.errors import DataMissing, UnfooledError, UnknownName
from unfooled.terminal import busy, err, out

if TYPE_CHECKING:
    from unfooled.crafting import Crafted
    from unfooled.report import Report
    from unfooled.run import Step
    from unfooled.study import Study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Do training-time transformations make an image classifier harder to fool? "
    "An answer with error bars.",
    epilog="Exit codes: 0 done, 1 some jobs failed, a model is refused or images do not stand, "
    "2 a mistake of the user, 130 interrupted.",
)

FOLDERS = (
    *("attacks", "corruptions", "datasets", "defences", "preprocessors", "models"),
    *("reports", "engines", "peers"),
)
LISTED = (*FOLDERS, "studies", "transforms")
_HERE = Path(__file__).parent
# Inside an installed package; beside src in a checkout.
STUDIES = _HERE / "studies" if (_HERE / "studies").is_dir() else _HERE.parents[1] / "studies"


def main() -> None:
    """The entry point; mistakes of the user end in one line and exit code 2."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except UnfooledError as error:
        for line in str(error).splitlines():
            err.print(f"unfooled: {line}", markup=False, soft_wrap=True)
        sys.exit(2)
    except _Interrupted:
        sys.exit(130)


class _Interrupted(BaseException):
    """Ctrl-C; typer would turn a KeyboardInterrupt into exit code 1."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


@app.command()
def study(
    which: Annotated[
        str, typer.Argument(metavar="[FILE.toml | NAME]", help="A study file, or one of ours.")
    ] = "mnist",
    data: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; runs/NAME if not given.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks per recipe.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Take this data set instead.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int | None, typer.Option(help="Processes; one a core if not given.")] = None,
    fallback: Annotated[
        str | None, typer.Option(help="The study to run where the data cannot be had.")
    ] = None,
) -> None:
    """Train the recipes, attack the networks, write the report."""
    chosen = _asked(which, dataset, seeds)
    note = ""
    with busy("reading the data"):
        try:
            chosen.data(data)
        except DataMissing as missing:
            if fallback is None:
                raise
            note = f"{chosen.dataset.upper()} could not be had, so these are other data"
            err.print(
                f"unfooled: {missing}\nunfooled: running the study {fallback!r} instead",
                markup=False,
                soft_wrap=True,
            )
            chosen, data, which = _asked(fallback, None, seeds), None, fallback
    folder = out_folder or Path("runs") / chosen.name
    failed = _run(chosen, folder, data, device, workers, _file(which).read_text(), note)
    _published(folder)
    if failed:
        raise typer.Exit(1)


@app.command()
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Write a run's report again from its facts, without training or attacking."""
    _published(run)


@app.command()
def attack(
    model: Annotated[
        str,
        typer.Option(
            help="A network of a run, such as runs/mnist/models/plain-0.safetensors; or "
            "mine.py:FUNCTION, timm:NAME, FILE.pt2, FILE.onnx with --dataset."
        ),
    ],
    name: Annotated[str, typer.Option("--attack", help="See: unfooled list attacks.")] = "pgd",
    eps: Annotated[
        str | None,
        typer.Option(help="Such as 0.1, 8/255, or inf for the nearest; else a usual one."),
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Such as L2; else the attack's first.")] = None,
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
    weights: commands.Weights = None,
    mean: commands.Mean = None,
    std: commands.Std = None,
    dataset: Annotated[str | None, typer.Option(help="Other than it was trained on.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results; runs/attacks/... if none.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
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
    except _Interrupted:
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


app.command()(commands.doctor)
app.command()(workbench.verify)
app.command("compare-tools")(workbench.compare_tools)
app.command()(workbench.smooth)


@app.command("list")
def list_(
    what: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(LISTED)}.")] = None,
) -> None:
    """What there is: attacks, data sets, defences, models, studies, ..."""
    from unfooled import catalog

    if what is not None and what not in LISTED:
        raise UnknownName(catalog.unknown(what, LISTED))
    for folder in [what] if what else LISTED[:-1]:
        if not what:
            out.print(f"[bold]{folder}[/bold]")
        if folder == "attacks":
            _ladder("" if what else "  ")
            continue
        for name, line in _members(folder):
            out.print(f"{'' if what else '  '}[cyan]{name:<24}[/cyan] {line}", soft_wrap=True)


def _ladder(indent: str) -> None:
    """The attacks, those that know most first; a long line goes on under its own beginning."""
    import textwrap

    from unfooled import guide

    wide = min(out.width, 100) if out.is_terminal else 10_000
    before = ""
    for rung in guide.ladder():
        if rung.knows != before:
            gap = "\n" if before else ""
            out.print(f"{gap}{indent}[bold]{guide.KNOWS[rung.knows]}[/bold]", highlight=False)
            before = rung.knows
        head = f"{indent}  {rung.name:<15}{rung.promise:<9}{rung.norms:<17} "
        lines = textwrap.wrap(rung.line, max(24, wide - len(head)), break_on_hyphens=False) or [""]
        out.print(Text(head, "cyan").append(lines[0], "default"), soft_wrap=True)
        for line in lines[1:]:
            out.print(" " * len(head) + line, markup=False, soft_wrap=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Of an attack, defence, model, study, data set, ...")],
) -> None:
    """Everything about one of them: its options, its source, a model's layers."""
    from unfooled import catalog

    if name in _studies():
        out.print(_file(name).read_text(), markup=False, soft_wrap=True)
        return
    if ":" in name:  # of timm or of the user's own; only a model can be explained by its layers
        _explain(name)
        return
    homes = [folder for folder in FOLDERS if name in catalog.names(folder)]
    if not homes:
        known = [known for folder in FOLDERS for known in catalog.names(folder)]
        raise UnknownName(catalog.unknown(name, [*known, *_studies()]))
    for folder in homes:
        _show(folder, name)


def _show(folder: str, name: str) -> None:
    import inspect

    from unfooled import attack, catalog, defence, guide

    member = catalog.function(folder, name)
    out.print(f"[bold]{name}[/bold] (in {folder})", highlight=False)
    out.print(inspect.getdoc(member) or "", markup=False, soft_wrap=True)
    if folder in ("attacks", "defences", "preprocessors"):
        given = {"attacks": attack.GIVEN, "defences": defence.GIVEN}.get(folder, ("draws",))
        known = catalog.options(member, given)
        out.print("" if known or folder == "attacks" else "  no options")
        for option, default in known.items():
            out.print(f"  option [cyan]{option}[/cyan] = {default!r}", highlight=False)
    if folder == "attacks":
        found = attack.find(name)
        for what, words in guide.facts(found):
            out.print(f"  {what:<7} [cyan]{words}[/cyan]", soft_wrap=True)
        for where, text in (
            ("On the command line", guide.command(found)),
            ("In a study file", guide.snippet(found)),
        ):
            out.print(f"\n{where}:\n\n{text}", markup=False, soft_wrap=True)
    if folder == "models":
        _explain(name)


def _explain(name: str) -> None:
    """The layers of a model for MNIST's images."""
    from rich.table import Table

    from unfooled import model
    from unfooled.tables import layer_cells

    with busy("building it"):
        layers = model.layers(
            model.build(name, channels=1, size=28, classes=10, seed=0), channels=1, size=28
        )
    head, rows = layer_cells(layers)
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for place, column in enumerate(head):
        table.add_column(
            column, justify="right" if place >= len(head) - 2 else "left", no_wrap=True
        )
    for row in rows:
        table.add_row(*map(Text, row))
    out.print("For images of 1 x 28 x 28 and 10 classes:")
    out.print(table)
    out.print(
        f"{sum(layer.parameters for layer in layers):,} parameters, "
        f"{sum(layer.multiplications for layer in layers):,} multiplications an image.",
        highlight=False,
    )


def _members(folder: str) -> Iterator[tuple[str, str]]:
    """Names and first lines."""
    import inspect

    from unfooled import catalog

    if folder == "studies":
        for name in _studies():
            first = _file(name).read_text().partition("\n")[0]
            yield name, first.removeprefix("# ")
    elif folder == "transforms":
        from unfooled import transform

        for name in sorted(transform.names(), key=lambda name: (transform.how(name), name)):
            yield name, f"{transform.how(name):<16}{transform.line(name)}"
    else:
        for name in catalog.names(folder):
            doc = inspect.getdoc(catalog.function(folder, name)) or ""
            yield name, doc.partition("\n")[0]


def _studies() -> list[str]:
    return sorted(path.stem for path in STUDIES.glob("*.toml"))


def _file(which: str) -> Path:
    """The file behind a study's name or path."""
    path = Path(which)
    if path.suffix == ".toml":
        return path
    if which in _studies():
        return STUDIES / f"{which}.toml"
    from unfooled import catalog

    raise UnknownName(f"{catalog.unknown(which, _studies())} (studies; a file must end in .toml)")


def _asked(which: str, dataset: str | None, seeds: int | None) -> "Study":
    """The study; a data set for which we have a study of its own brings that study's plan."""
    from unfooled import catalog

    if which == "mnist" and dataset in _studies() and dataset in catalog.names("datasets"):
        which, dataset = str(dataset), None
    path = _file(which)
    with busy("reading the study"):
        from unfooled import config

        return config.read(path, seeds=seeds, dataset=dataset)


def _run(
    chosen: "Study",
    folder: Path,
    data: Path | None,
    device: str,
    workers: int | None,
    source: str,
    note: str,
) -> list[Any]:
    with _progress(chosen, folder) as on_step:
        from unfooled.run import run

        failed = run(
            chosen,
            folder,
            data_folder=data,
            device=device,
            workers=workers,
            source=source,
            note=note,
            on_step=on_step,
        )
    for one in failed:
        name = one.job.name(chosen)
        err.print(f"unfooled: {name} failed: {one.message}", markup=False, soft_wrap=True)
    return failed


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
        disable=not err.is_terminal,
        speed_estimate_period=120,
    )
    task = bar.add_task(f"{chosen.name}: starting", total=1.0, jobs="0")

    def on_step(step: "Step") -> None:
        bar.update(task, completed=step.share, jobs=f"{step.finished}/{step.total}")
        if step.event is not None:
            bar.update(task, description=f"{chosen.name}: {step.event.job.name(chosen)}")

    try:
        with bar:
            yield on_step
    except _Interrupted:
        err.print(
            f"\nunfooled: interrupted. What was finished is kept in {folder}; the same command "
            "goes on from there.",
            soft_wrap=True,
        )
        raise


def _published(folder: Path) -> None:
    with busy("writing the report"):
        from unfooled.publish import publish
        from unfooled.report import gather

        made = gather(folder)
        paths = publish(made, folder)
    _told(made)
    for path in paths:
        out.print(f"  {path}", soft_wrap=True, markup=False)


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


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,  # noqa: FBT002
) -> None:
    if version:
        out.print(f"unfooled {__version__}")
        raise typer.Exit
