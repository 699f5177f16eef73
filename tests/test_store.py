import errno
import json
import os
import signal
import sqlite3
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import toys

from unfooled import store
from unfooled.errors import RunRefused

PLAIN = {"seeds": 5, "recipes": [{"name": "plain", "plan": {"epochs": 5}}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with one finished job."""
    with store.opened(tmp_path / "run", {}) as ledger:
        ledger.put("first", "a", "train", b"one", 1.5)
    return tmp_path / "run"


def intact(folder: Path) -> bool:
    """Whether the first job is there, whole, and nothing half-written is taken for another."""
    with store.opened(folder, {}) as ledger:
        return ledger.get("first") == b"one" and ledger.get("second") in (None, b"two")


def test_what_was_kept_comes_back(folder: Path) -> None:
    with store.opened(folder, {}) as ledger:
        assert ledger.get("first") == b"one"
        assert ledger.get("other") is None
        assert ledger.seconds() == 1.5
        ledger.put("second", "b", "attack", b"two", 0.5)
        assert ledger.named() == {"a": b"one", "b": b"two"}
        assert ledger.seconds() == 2
    assert (folder / "models" / "a.safetensors").read_bytes() == b"one"
    assert (folder / "facts" / "b.npz").read_bytes() == b"two"


@pytest.mark.parametrize("damage", [b"", b"on", b"one more", b"two"])
def test_a_file_that_is_not_as_it_was_kept_counts_as_not_finished(
    folder: Path, damage: bytes
) -> None:
    (folder / "models" / "a.safetensors").write_bytes(damage)
    with store.opened(folder, {}) as ledger:
        assert ledger.get("first") is None
        assert ledger.named() == {}


def test_a_file_that_is_gone_counts_as_not_finished(folder: Path) -> None:
    (folder / "models" / "a.safetensors").unlink()
    with store.opened(folder, {}) as ledger:
        assert ledger.get("first") is None
        ledger.put("first", "a", "train", b"one", 1.0)
        assert ledger.get("first") == b"one"


def test_a_second_run_in_the_same_folder_is_refused(folder: Path) -> None:
    with store.opened(folder, {}):
        with (
            pytest.raises(RunRefused, match=r"another run is at work in .*--out"),
            store.opened(folder, {}),
        ):
            pass
        assert (folder / "study.json").exists()
    assert intact(folder)


def test_an_error_inside_gives_the_folder_free(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), store.opened(folder, {}):
        raise ZeroDivisionError
    assert intact(folder)


def test_the_same_study_is_let_in_again_and_a_changed_one_refused_with_the_keys(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    with store.opened(folder, PLAIN) as ledger:
        ledger.put("first", "a", "train", b"one", 1.0)
    with store.opened(folder, json.loads(json.dumps(PLAIN))):
        pass
    other = {
        "seeds": 3,
        "recipes": [{"name": "plain", "plan": {"epochs": 9}}],
        "margin": 0.1,
    }
    with pytest.raises(RunRefused) as raised, store.opened(folder, other):
        pass
    said = str(raised.value)
    assert "holds another study" in said
    assert "seeds: 5 there, 3 now" in said
    assert "recipes[0].plan.epochs: 5 there, 9 now" in said
    assert "margin: null there, 0.1 now" in said
    assert "name" not in said
    assert "--out" in said
    assert json.loads((folder / "study.json").read_text()) == PLAIN


def test_a_study_without_a_finished_job_may_be_changed(tmp_path: Path) -> None:
    for plain in (PLAIN, {"seeds": 3}):
        with store.opened(tmp_path, plain):
            pass
        assert json.loads((tmp_path / "study.json").read_text()) == plain


def test_long_values_are_shortened(tmp_path: Path) -> None:
    with store.opened(tmp_path, {"question": "a" * 500}) as ledger:
        ledger.put("first", "a", "train", b"one", 1.0)
    with pytest.raises(RunRefused) as raised, store.opened(tmp_path, {"question": "b"}):
        pass
    assert len(str(raised.value)) < len(str(tmp_path)) + 250


@pytest.mark.parametrize("content", ["", "{", "not json"])
def test_a_damaged_description_of_the_study_is_refused(folder: Path, content: str) -> None:
    (folder / "study.json").write_text(content)
    with pytest.raises(RunRefused, match=r"study\.json is damaged"), store.opened(folder, {}):
        pass


def test_a_damaged_ledger_is_refused(folder: Path) -> None:
    (folder / "ledger.sqlite").write_bytes(b"this is no data base, but long enough" * 100)
    with pytest.raises(RunRefused, match="ledger"), store.opened(folder, {}) as ledger:
        ledger.get("first")


# Tests may run as root, whom no permission stops: a file in the way stops everybody.
@pytest.mark.parametrize("blocked", ["", "models", "facts", "report", "models/below"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, blocked: str) -> None:
    run = tmp_path / "run"
    way = run / blocked if blocked != "models/below" else tmp_path
    if blocked == "models/below":
        (tmp_path / "file").write_bytes(b"in the way")
        run = tmp_path / "file" / "below"
    else:
        way.parent.mkdir(parents=True, exist_ok=True)
        way.write_bytes(b"in the way")
    with pytest.raises(RunRefused, match=r"cannot write to .*--out"), store.opened(run, {}):
        pass


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_and_what_was_finished_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.opened(folder, {}) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RunRefused, match=r"the disk of .* is full; what was finished is"):
                ledger.put("second", "b", "train", b"two", 1.0)
        assert ledger.get("first") == b"one"
        assert ledger.get("second") is None
        assert [path.name for path in (folder / "models").iterdir()] == ["a.safetensors"]
        ledger.put("second", "b", "train", b"two", 1.0)
        assert ledger.get("second") == b"two"
    assert intact(folder)


def test_a_disk_that_is_full_for_the_ledger_is_told_too(folder: Path) -> None:
    with store.opened(folder, {}) as ledger:
        ledger._ledger.execute("PRAGMA max_page_count = 1")
        with pytest.raises(RunRefused, match="is full; what was finished is kept"):
            ledger.put("second" * 10_000, "b", "attack", b"two", 1.0)
        assert ledger.get("first") == b"one"
    assert intact(folder)


def test_a_full_disk_at_the_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunRefused, match="is full"), store.opened(tmp_path / "run", {}):
        pass


@pytest.mark.parametrize("error", [full, lambda *_: 1 / 0], ids=["full", "any"])
def test_a_file_is_written_whole_or_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error
) -> None:
    path = tmp_path / "a.txt"
    store.write(path, b"before")
    monkeypatch.setattr(os, "fsync", error)
    with pytest.raises((RunRefused, ZeroDivisionError)):
        store.write(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.txt", []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: seen.append(path.exists()) or real(number))
    store.write(path, b"content")
    assert seen == [False]
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("before the flush", None),
        ("before the renaming", None),
        ("before the row", None),
        ("after all", b"two"),
    ],
)
def test_a_kill_at_any_moment_loses_at_most_the_job_that_was_being_kept(
    folder: Path, processes: ForkServerContext, moment: str, kept: bytes
) -> None:
    process = processes.Process(target=toys.die_while_keeping, args=(folder, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with store.opened(folder, {}) as ledger:
        assert ledger.get("first") == b"one"
        assert ledger.get("second") == kept
        ledger.put("second", "b", "train", b"two", 1.0)
        assert ledger.named() == {"a": b"one", "b": b"two"}
    left = {path.name for path in (folder / "models").iterdir()}
    assert left == {"a.safetensors", "b.safetensors"}


def test_rows_are_written_with_the_job_or_not_at_all(folder: Path) -> None:
    ledger = sqlite3.connect(folder / "ledger.sqlite")
    rows = ledger.execute("SELECT key, name, file FROM jobs").fetchall()
    ledger.close()
    assert rows == [("first", "a", "models/a.safetensors")]


def test_jobs_of_other_keys_are_forgotten(folder: Path) -> None:
    with store.opened(folder, {}) as ledger:
        ledger.put("second", "b", "attack", b"two", 0.5)
        ledger.set_aside({"second"})
        assert ledger.named() == {"b": b"two"}
        assert ledger.seconds() == 0.5


def test_no_run_knows_of_a_file_at_the_root() -> None:
    assert store.recorded(Path("/nothing.safetensors")) is None
