import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys

from unfooled import columns, provenance, report, store
from unfooled.errors import InvalidOption, RunRefused

ENVIRONMENT = {
    "unfooled": "0.1.0",
    "python": "3.11",
    "packages": {"torch": "2"},
    "machine": "Linux",
    "device": "cpu",
    "workers": 1,
    "engine": "local",
    "together": [],
    "data": {
        **{"name": "stripes", "source": "here", "sha256": "ab", "classes": ["a", "b", "c"]},
        **{"channels": 1, "size": 8, "images": [1, 2, 3]},
    },
    "note": "",
    "command": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder that says what it should, without a finished job."""
    with store.opened(tmp_path / "run", toys.study().plain()):
        pass
    (tmp_path / "run" / "environment.json").write_text(json.dumps(ENVIRONMENT))
    return tmp_path / "run"


def change(folder: Path, name: str, place: tuple[str | int, ...], value: object) -> None:
    whole: Any = json.loads((folder / name).read_text())
    inside = whole
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    (folder / name).write_text(json.dumps(whole))


def test_a_study_and_its_place_are_told_as_they_were_written(folder: Path) -> None:
    study, environment = provenance.asked(folder)
    assert study.plain() == toys.study().plain()
    assert environment == ENVIRONMENT


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("study.json", ("recipes", 0, "name"), "../../x", "no name of a recipe"),
        ("study.json", ("recipes", 0, "name"), "flips", "two recipes of one name"),
        ("study.json", ("recipes", 0, "title"), "\x1b[2J", "in a text"),
        ("study.json", ("seeds",), 10**9, "1,000,000,000 seeds"),
        ("study.json", ("seeds",), "2", "seeds"),
        ("study.json", ("sweeps", 0, "norm"), "L7", "the norm 'L7'"),
        ("study.json", ("sweeps", 0, "eps"), [0.2, 0.1], "with the eps"),
        ("study.json", ("answer_eps",), 0.9, "no attack has the eps"),
        ("study.json", ("margin",), 2.0, "the margin 2"),
        ("study.json", ("more",), 1, "another version: study.more"),
        ("environment.json", ("data", "size"), 10**9, "another version: data.size"),
        ("environment.json", ("data", "classes"), "abc", "another version: data.classes"),
        ("environment.json", ("workers",), "two", "another version: workers"),
    ],
)
def test_what_no_run_wrote_is_refused(
    folder: Path, name: str, place: tuple[str | int, ...], value: object, said: str
) -> None:
    change(folder, name, place, value)
    with pytest.raises(RunRefused, match=said) as raised:
        provenance.asked(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", provenance.NAMES)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_links_and_pipes_are_not_read(
    folder: Path, name: str, make: Callable[[Path], object]
) -> None:
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(RunRefused, match="it is no regular file"):
        provenance.asked(folder)


@pytest.mark.parametrize(
    "place",
    [
        ("model",),
        ("sweeps", 0, "attack"),
        ("recipes", 1, "defence", 0),
        ("recipes", 1, "transforms", 0, 0),
    ],
)
def test_code_that_a_folder_brings_along_is_not_run_unless_it_is_allowed(
    folder: Path, place: tuple[str | int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef it(): pass\n")
    word = f"{folder / 'evil.py'}:it"
    change(folder, "study.json", place, word)
    for read in (report.gather, columns.facts):
        with pytest.raises(
            InvalidOption, match=r"name code that would be run: .*evil\.py:it.*--allow"
        ):
            read(folder)
    assert not mark.exists()
    assert word in provenance.code(provenance.asked(folder)[0])
    monkeypatch.chdir(folder.parent)
    for allowed in (word, f"{folder.name}/evil.py:it"):
        with pytest.raises(RunRefused, match="no result yet"):
            report.gather(folder, allow=[allowed])
