"""`unfooled demo` as a user meets it."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@contextmanager
def started(*arguments: str, cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "unfooled", "demo", "--no-browser", "--port", "0", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], said: str) -> str:
    """What it says up to the line with these words."""
    assert process.stdout is not None
    found, end = "", time.monotonic() + 120
    while not re.search(said, found):
        assert select.select([process.stdout], [], [], end - time.monotonic())[0], found
        line = process.stdout.readline()
        assert line, found
        found += line
    return found


def test_a_run_is_shown_until_ctrl_c(small_run: Path, tmp_path: Path) -> None:
    with started(str(small_run), cwd=tmp_path, env={}) as process:
        words = told(process, "The page is at")
        address = re.search(r"http://127\.0\.0\.1:\d+", words)
        assert address is not None
        about = httpx.get(f"{address[0]}/api/about", trust_env=False).json()
        assert [one["name"] for one in about["recipes"]] == ["plain", "noise", "adversarial"]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert rest.split() == ["The", "page", "is", "closed."]


def test_ctrl_c_ends_a_training_too(tmp_path: Path) -> None:
    with started(cwd=tmp_path, env={"XDG_CACHE_HOME": str(tmp_path / "cache")}) as process:
        words = told(process, "training: ")
        assert "no run under runs/" in words
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere holds no run"),
        (("--port", "70000"), "70000"),
        (("--host", "256.1.1.1"), "256.1.1.1"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    from unfooled import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["unfooled", "demo", "--no-browser", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    err = " ".join(capsys.readouterr().err.split())
    assert said in err
    assert "Traceback" not in err
