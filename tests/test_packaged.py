"""What is shipped: a wheel, a source distribution, an image."""

import re
import subprocess
import sys
from pathlib import Path

import packaged
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git knows which files are ours")
def test_a_wheel_and_a_source_distribution_hold_what_they_should(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(packaged.faults(tmp_path)) == []


def test_an_image_is_built_from_files_that_are_there_and_let_in() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for one in lines if one.startswith("COPY ") for word in one.split()[1:-1]]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if "!" in line]
    assert copied
    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / path).exists() for path in copied)


def test_an_image_runs_as_a_user_without_rights_and_names_no_address() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    assert "://" not in text
