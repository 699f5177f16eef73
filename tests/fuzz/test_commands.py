"""Commands on the folder of a run in which somebody has put other things."""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typed import run

from unfooled import packing

FACTS = "facts/plain-0-0-fgsm-Linf.npz"


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    """A run's folder beside a file that is nobody's business."""
    (tmp_path / "secret.npz").write_bytes((small_run / FACTS).read_bytes())
    shutil.copy(small_run.parent / "small.toml", tmp_path)
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def told(folder: Path, command: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        ledger.execute(command)
        ledger.commit()


def put(folder: Path, content: bytes) -> None:
    """Facts, with the ledger's word for them."""
    (folder / FACTS).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    told(folder, f"UPDATE jobs SET sha256 = '{sha256}' WHERE file = '{FACTS}'")


def leads_out(folder: Path) -> None:
    told(folder, f"UPDATE jobs SET file = '../secret.npz' WHERE file = '{FACTS}'")


def is_linked(folder: Path) -> None:
    shutil.rmtree(folder / "report")
    (folder.parent / "elsewhere").mkdir()
    (folder / "report").symlink_to(folder.parent / "elsewhere")


def is_named_otherwise(folder: Path) -> None:
    whole = json.loads((folder / "study.json").read_text())
    whole["recipes"][0]["name"] = "../../secret"
    (folder / "study.json").write_text(json.dumps(whole))


def is_a_bomb(folder: Path) -> None:
    arrays = packing.unpacked((folder / FACTS).read_bytes())
    with (folder / FACTS).open("wb") as file:
        np.savez_compressed(file, **{**arrays, "distance": np.zeros((2, 2**23))})
    put(folder, (folder / FACTS).read_bytes())


def waits(folder: Path) -> None:
    (folder / "study.json").unlink()
    os.mkfifo(folder / "study.json")


@pytest.mark.parametrize("change", [leads_out, is_linked, is_named_otherwise, is_a_bomb, waits])
def test_a_forged_folder_is_refused_in_one_line_and_nothing_is_written_elsewhere(
    folder: Path, change: Callable[[Path], None]
) -> None:
    change(folder)
    outside = {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}
    commands = [["report", "run"], ["card", "run"], ["verify", "run"]]
    if (
        change is not is_a_bomb
    ):  # its study is as it was, and its facts are found when they are read
        commands.append(["study", "small.toml", "--out", "run"])
    for words in commands:
        done = run(*words, cwd=folder.parent)
        assert done.code == (1 if words[0] == "verify" and change is is_a_bomb else 2), done.err
        assert len(done.err.splitlines()) <= 1
    assert outside == {p for p in folder.parent.rglob("*") if not p.is_relative_to(folder)}
