import json
from pathlib import Path

import pytest
import quick
import toys

from unfooled import report, run, store
from unfooled.errors import RunRefused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    found = tmp_path_factory.mktemp("run")
    with quick.no_processes(), quick.short_probes():
        run.run(toys.study(), found, device="cpu")
    return found


def test_a_report_knows_all_that_the_folder_knows(folder: Path) -> None:
    found = report.gather(folder)
    assert found.study.plain() == toys.study().plain()
    assert found.study.plain() == toys.study().plain()
    assert [recipe.name for recipe in found.results.recipes] == ["plain", "flips"]
    assert found.results.missing == ()
    assert set(found.pictures) == {"plain", "flips"}
    assert [layer.kind for layer in found.layers] == ["Conv2d", "ReLU", "Flatten", "Linear"]
    assert found.environment["data"]["name"] == "stripes"
    assert found.seconds > 0
    assert found.answer.short == "Cannot tell."


def test_gathering_twice_tells_the_same_and_changes_no_file(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    assert report.gather(folder).results == report.gather(folder).results
    assert [path.read_bytes() for path in files] == before


def test_nothing_is_trained_or_attacked_for_a_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("training.train", "evaluation.evaluate", "dataset.find"):
        monkeypatch.setattr(f"unfooled.{name}", lambda *_, **__: pytest.fail("it worked again"))
    report.gather(folder)


@pytest.mark.parametrize("missing", ["study.json", "environment.json"])
def test_a_folder_without_a_run_is_refused_and_left_alone(tmp_path: Path, missing: str) -> None:
    for name in {"study.json", "environment.json"} - {missing}:
        (tmp_path / name).write_text("{}")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RunRefused, match="holds no run"):
        report.gather(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_does_not_exist_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="holds no run"):
        report.gather(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_run_whose_baseline_has_no_result_is_refused(folder: Path, tmp_path: Path) -> None:
    with store.opened(tmp_path, toys.study().plain()):
        pass
    (tmp_path / "environment.json").write_bytes((folder / "environment.json").read_bytes())
    with pytest.raises(RunRefused, match="Plain has no result yet; finish the run first"):
        report.gather(tmp_path)


def test_a_run_that_was_broken_off_is_told_with_its_holes(folder: Path, tmp_path: Path) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "facts" / "flips-1-1-pgd-Linf.npz").unlink()
    found = report.gather(tmp_path)
    assert found.results.missing == ("flips-1",)
    assert found.results.recipe("flips").seeds == (0,)
    assert any("flips-1" in doubt.sentence and doubt.serious for doubt in found.answer.doubts)


def test_a_report_can_be_told_as_json(folder: Path) -> None:
    found = report.gather(folder)
    assert json.loads(json.dumps(found.results.study)) == toys.study().plain()
