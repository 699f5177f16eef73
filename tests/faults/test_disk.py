"""A disk that fills up, and folders that cannot be written: one line, and nothing is lost."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unfooled import store
from unfooled.errors import RunRefused

Command = Callable[..., int]
Rows = Callable[[Path], set[tuple[object, ...]]]


@pytest.fixture
def disk(home: Path) -> Iterator[Path]:
    """A disk of 8 MB on which `run` lies."""
    run = home / "run"
    run.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(run)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mounted, check=False).returncode:
        pytest.skip("only root may mount a small disk, and only where mounting is allowed")
    yield run
    subprocess.run(["umount", "--lazy", str(run)], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave only so many bytes."""
    (disk / "ballast").unlink(missing_ok=True)
    free = shutil.disk_usage(disk).free
    with (disk / "ballast").open("wb") as file:
        file.write(bytes(max(0, free - left)))


def told_full(capsys: pytest.CaptureFixture[str], disk: Path) -> None:
    """One line said it, and nothing half is left; there is space again."""
    said = capsys.readouterr().err
    assert "is full; what was finished is kept" in said
    assert len(said.splitlines()) == 1
    assert not list(disk.rglob("*.part"))
    (disk / "ballast").unlink()


@pytest.mark.slow
@pytest.mark.usefixtures("_serially")
def test_a_disk_that_fills_up_at_any_moment_costs_one_line(
    disk: Path,
    study: Command,
    command: Command,
    rows: Rows,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(disk, 0)
    assert study() == 2
    told_full(capsys, disk)
    kept, moments = rows(disk), set[int]()
    assert not kept
    for left in range(
        16_384, 400_000, 8192
    ):  # less than the jobs need together, so some stop there
        fill(disk, left)
        code = study()
        assert kept <= rows(disk), "a job that was finished is gone, or was done again"
        if code == 0:
            break
        assert code == 2
        told_full(capsys, disk)
        kept = rows(disk)
        moments.add(len(kept))
    assert moments & set(range(1, 8)), "it was never full among the jobs"
    assert len(rows(disk)) == 8
    report = disk / "report" / "results.json"
    again = ("report", "run", "--allow", f"{disk.parent / 'mine.py'}:odd")
    whole = report.read_bytes()
    capsys.readouterr()
    fill(disk, 4096)
    assert command(*again) == 2
    told_full(capsys, disk)
    assert report.read_bytes() == whole
    assert command(*again) == 0
    assert report.read_bytes() == whole


@pytest.mark.usefixtures("_serially")
def test_files_that_may_not_grow_cost_one_line(
    home: Path, study: Command, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        code = study()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "run" in said
    assert not list(home.rglob("*.part"))
    assert study() == 0
    assert len(rows(home / "run")) == 8


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="nothing stops root")
def test_a_folder_that_is_only_for_reading_is_refused(home: Path, study: Command) -> None:
    (home / "run").mkdir(mode=0o555)
    assert study() == 2


def test_a_folder_on_a_disk_only_for_reading_is_refused(
    disk: Path, study: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert study() == 2
    said = capsys.readouterr().err
    assert "Read-only file system; choose another by --out" in said
    assert len(said.splitlines()) == 1


def test_a_file_that_cannot_be_written_stops_the_job_and_not_the_others(tmp_path: Path) -> None:
    """A folder in the file's place, which stops root too."""
    with store.opened(tmp_path / "run", {}) as ledger:
        ledger.put("first", "a", "train", b"one", 1.0)
        (tmp_path / "run/models/b.safetensors").mkdir()
        with pytest.raises(RunRefused, match=r"cannot write to .*models"):
            ledger.put("second", "b", "train", b"two", 1.0)
        assert not list((tmp_path / "run").rglob("*.part"))
        assert ledger.finished() == {"first"}


def test_a_folder_removed_under_a_run_ends_it_in_one_line(tmp_path: Path) -> None:
    with store.opened(tmp_path / "run", {}) as ledger:
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(RunRefused, match=r"cannot write to .*No such file") as refused:
            ledger.put("first", "a", "train", b"one", 1.0)
    assert len(str(refused.value).splitlines()) == 1


def test_a_folder_removed_but_for_the_open_ledger_ends_it_in_one_line(tmp_path: Path) -> None:
    with store.opened(tmp_path / "run", {}) as ledger:
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run/models").mkdir(parents=True)
        with pytest.raises(RunRefused, match="cannot write to"):
            ledger.put("first", "a", "train", b"one", 1.0)
