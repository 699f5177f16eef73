"""Pages about the command line and the Python interface, read from the code."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import unfooled
from unfooled import cli

# What is offered besides the names of `unfooled` itself, and what each is for.
MODULES = {
    "Attacks": ("attack", "evaluation", "targets", "obfuscated", "testing"),
    "Training": ("defence", "transform", "preprocessor", "corruption"),
    "Data and networks": ("dataset", "model", "loading"),
    "Proofs": ("bounds", "smoothing"),
    "Runs": ("study", "config", "run", "engine", "report", "check"),
}


def commands() -> str:
    """Every command with its arguments and options."""
    import typer

    group: Any = typer.main.get_command(cli.app)
    parts = ["# Commands", group.help, group.epilog]
    for name, command in group.commands.items():
        given = [
            param.metavar or param.name.upper()
            for param in command.params
            if param.param_type_name == "argument"
        ]
        parts += [f"## `unfooled {name}`", inspect.cleandoc(command.help or "")]
        parts += [f"```text\n{' '.join(['unfooled', name, *given])} [OPTIONS]\n```"]
        rows = list(_rows(command.params))
        if rows:
            head = ["| | default | what it is |", "| --- | --- | --- |"]
            parts += ["\n".join([*head, *rows])]
    return "\n\n".join(parts) + "\n"


def _rows(params: Sequence[Any]) -> Iterator[str]:
    for param in params:
        if param.name == "help":
            continue
        name = (
            ", ".join(param.opts)
            if param.param_type_name == "option"
            else param.metavar or param.name.upper()
        )
        name = name.strip("[]").replace(" | ", "` or `")
        default = "" if param.default in (None, [], ()) else f"`{param.default}`"
        words = (param.help or "").replace("|", "\\|")
        yield f"| `{name}` | {default} | {words} |"


def python() -> str:
    """The names of the package itself."""
    parts = ["# Python", inspect.getdoc(unfooled) or ""]
    homes = sorted(unfooled._HOMES.items(), key=lambda item: item[0].lower())
    parts += [f"::: unfooled.{home}.{name}" for name, home in homes]
    return "\n\n".join(parts) + "\n"


def modules(heading: str) -> str:
    """The public names of some files."""
    parts = [f"# {heading}", *(f"::: unfooled.{name}" for name in MODULES[heading])]
    return "\n\n".join(parts) + "\n"
