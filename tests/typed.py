"""Commands as a user types them, and how they end; without a process for each."""

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from unfooled import cli
from unfooled.in_process import in_process


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def run(*arguments: str, cwd: Path) -> Ended:
    """A command and its work in this process, which has imported torch already."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.delenv("UNFOOLED_DATA", raising=False)
        patch.setattr(sys, "argv", ["unfooled", *arguments])
        patch.setattr(signal, "signal", lambda *_: None)
        patch.setattr("unfooled.engines.local.local", in_process)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())
