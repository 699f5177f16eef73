"""Colours and moving lines, as the environment of a terminal asks for them."""

import io
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from unfooled import showing, terminal

COLOUR = re.compile(r"\x1b\[(\d+;)*[39][0-7][;m]")


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def helped(**environment: str) -> str:
    """What `unfooled --help` writes into a pipe."""
    bare = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "TERM", "GITHUB_ACTIONS", "PY_COLORS")
    }
    done = subprocess.run(
        [sys.executable, "-m", "unfooled", "--help"],
        env={**bare, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_pipe_gets_no_colours_unless_they_are_forced() -> None:
    assert "\x1b" not in helped(TERM="xterm-256color")
    assert COLOUR.search(helped(TERM="xterm-256color", FORCE_COLOR="1"))
    assert not COLOUR.search(helped(TERM="xterm-256color", FORCE_COLOR="1", NO_COLOR="1"))
    assert "\x1b" not in helped(TERM="dumb")


@pytest.mark.parametrize(
    ("stream", "environment", "moves"),
    [
        (Screen(), {"TERM": "xterm"}, True),
        (Screen(), {"TERM": "xterm", "NO_COLOR": "1"}, True),  # it is no colour
        (Screen(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_a_line_moves_only_where_it_can(
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    environment: dict[str, str],
    moves: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    console = Console(file=stream, highlight=False)
    monkeypatch.setattr(terminal, "err", console)
    monkeypatch.setattr(showing, "err", console)
    with terminal.busy("thinking"):
        pass
    assert terminal.lively() == moves
    assert ("thinking" in stream.getvalue()) == moves
    if "NO_COLOR" in environment:
        assert not COLOUR.search(stream.getvalue())


def test_a_command_is_told_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/there/unfooled/__main__.py", "study", "my study.toml"])
    assert terminal.typed() == "unfooled study 'my study.toml'"


def test_no_password_is_kept_with_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://me:secret@there:5000/a@b"
    monkeypatch.setattr(sys, "argv", ["unfooled", "evaluate", "--mlflow", address])
    assert terminal.typed() == "unfooled evaluate --mlflow https://there:5000/a@b"
    monkeypatch.setattr(sys, "argv", ["unfooled", "evaluate", f"--mlflow={address}"])
    assert terminal.typed() == "unfooled evaluate --mlflow=https://there:5000/a@b"
