"""The command line. Torch is imported by the commands that need it, so that --help is quick."""

import importlib
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from unfooled import __version__, completing, shipped
from unfooled.command import readable, whole
from unfooled.completing import FOLDERS, LISTED, SCHEMAS
from unfooled.errors import InvalidOption, JobFailed, UnfooledError, UnknownName
from unfooled.lasting import lasting
from unfooled.terminal import ENDINGS, Interrupted, busy, err, out
from unfooled.wording import visible

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


class _Program(TyperGroup):
    """Commands that code of the user's own cannot end as if they were done."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            raise JobFailed(
                f"code of your own ended the program by sys.exit({error.code}), so nothing came of "
                "it; it must return, or raise"
            ) from error


app = typer.Typer(
    cls=_Program,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Do training-time transformations make an image classifier harder to fool? "
    "An answer with error bars, for recipes of training and for networks of your own.",
    epilog="Exit codes: 0 done; 1 it ended, but some jobs failed, a tracker could not be written, "
    "a model is refused or falls short, or images do not stand; 2 a mistake of the user, or no "
    "judgement; 130, 143 or 129 interrupted, terminated, hung up; 141 the output was not read. "
    "docs/commands.md has them command by command.",
)

_ADDRESSES = int(3.6 * 2**30)  # bytes; measured: below, imports fail in many ways

# As --help has them; then `list` and `show`, whose names a file of Python cannot well have.
COMMANDS = (
    *("study", "evaluate", "gate", "report", "card", "verify"),
    *("attack", "demo", "doctor", "smooth", "compare_tools"),
)
for name in COMMANDS:
    command = getattr(importlib.import_module(f"unfooled.commands.{name}"), name)
    app.command(name.replace("_", "-"))(command)


def main() -> None:
    """The entry point; mistakes of the user end in one line and exit code 2."""
    for number in ENDINGS:
        # What `nohup` has switched off stays off.
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    with lasting():
        try:
            typed = readable(sys.argv[1:])
            _has_room(typed)
            app(args=whole(typed), prog_name="unfooled")
        except UnfooledError as error:
            for line in str(error).splitlines():
                # A file from elsewhere may be quoted in it, which shall not write to the terminal.
                err.print(f"unfooled: {visible(line)}", markup=False, soft_wrap=True)
            sys.exit(2)
        except Interrupted as ending:
            sys.exit(ending.code)


def _has_room(words: Sequence[str]) -> None:
    """Refuse what could not even import torch, in which OpenBLAS would wait for memory for ever.

    Raises:
        InvalidOption: this shell leaves a program too few addresses.
    """
    if resource is None or {"--help", "--version"} & set(words):
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _ADDRESSES:
        raise InvalidOption(
            f"this shell leaves a program {limit / 2**30:.1f} GiB of addresses (ulimit -v), and "
            f"torch alone takes 3.2; {_ADDRESSES / 2**30:.1f} are the least"
        )


def _interrupt(number: int, _: object) -> None:
    """End as soon as everything is in order; whoever asks once more by Ctrl-C, ends at once."""
    for other in ENDINGS:
        signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
    raise Interrupted(number)


@app.command("list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(help=f"One of: {', '.join(LISTED)}.", autocompletion=completing.listed),
    ] = None,
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
    name: Annotated[
        str,
        typer.Argument(
            help="Of an attack, defence, model, study, data set, ...; or results.schema.",
            autocompletion=completing.members,
        ),
    ],
) -> None:
    """Everything about one of them: its options, its source, a model's layers."""
    from unfooled import catalog

    if name in shipped.studies():
        out.print(shipped.file(name).read_text(), markup=False, soft_wrap=True)
        return
    if name in SCHEMAS:
        out.print(_schema(name), markup=False, soft_wrap=True, end="")
        return
    if ":" in name:  # of timm or of the user's own; only a model can be explained by its layers
        _explain(name)
        return
    homes = [folder for folder in FOLDERS if name in catalog.names(folder)]
    if not homes:
        raise UnknownName(catalog.unknown(name, completing.known()))
    for folder in homes:
        _show(folder, name)


def _schema(name: str) -> str:
    from unfooled import card, document

    made = {"card.schema": card.schema, "results.schema": document.schema}
    return made[name]().decode()


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
    from unfooled.colophon import layer_cells

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
        for name in shipped.studies():
            first = shipped.file(name).read_text().partition("\n")[0]
            yield name, first.removeprefix("# ")
    elif folder == "transforms":
        from unfooled import transform

        for name in sorted(transform.names(), key=lambda name: (transform.how(name), name)):
            yield name, f"{transform.how(name):<16}{transform.line(name)}"
    else:
        for name in catalog.names(folder):
            doc = inspect.getdoc(catalog.function(folder, name)) or ""
            yield name, doc.partition("\n")[0]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,  # noqa: FBT002
) -> None:
    if version:
        out.print(f"unfooled {__version__}")
        raise typer.Exit
