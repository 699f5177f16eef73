import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import toys

from unfooled import ledger, packing, pictures, store
from unfooled.auditing import audit, code
from unfooled.errors import RunRefused
from unfooled.rejudging import Verified

# Images that the report shows of each recipe, at every eps.
PICTURES = (1 + pictures.STEPS) * pictures.COUNT


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "copy"))


def audited(folder: Path) -> Verified:
    return audit(folder, data=None, device="cpu")


def lines(found: Verified) -> list[str]:
    return [str(one) for one in found.failures]


def test_a_finished_run_stands_and_is_left_as_it_is(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = audited(folder)
    assert lines(found) == []
    assert found.standing == found.images == 3 * PICTURES
    # Three recipes and two seeds: trainings, probes, two attacks each; and pictures of one seed.
    assert found.whole == found.files == len(store.files(folder)) == 6 + 6 + 12 + 3
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_changed_and_a_missing_file_are_told(folder: Path) -> None:
    (folder / "facts" / "noise-1-0-fgsm-Linf.npz").unlink()
    path = folder / "facts" / "plain-0-0-fgsm-Linf.npz"
    path.write_bytes(path.read_bytes()[:-9])
    found = audited(folder)
    assert found.whole == found.files - 2
    assert any("missing: facts/noise-1-0-fgsm-Linf.npz" in line for line in lines(found))
    assert any("ledger says: facts/plain-0-0-fgsm-Linf.npz" in line for line in lines(found))
    assert any("facts: they cannot be read" in line for line in lines(found))


def test_damage_of_any_kind_is_one_failure(folder: Path) -> None:
    path = folder / "facts" / "plain-0-pictures.npz"
    whole = path.read_bytes()
    for place in range(40, len(whole), 1 + len(whole) // 6):
        raw = bytearray(whole)
        raw[place] ^= 0x55
        path.write_bytes(raw)
        found = audited(folder)
        assert found.whole == found.files - 1
        assert {one.kind for one in found.failures} <= {"hash", "facts", "reading"}
        assert not any("\n" in line for line in lines(found))


def test_weights_that_cannot_be_read_are_told(folder: Path) -> None:
    (folder / "models" / "noise-0.safetensors").write_bytes(b"weights")
    found = audited(folder)
    assert any(line.startswith("weights: they cannot be put into") for line in lines(found))
    assert found.images == 2 * PICTURES


def test_weights_of_another_network_show_in_the_pictures(folder: Path) -> None:
    shutil.copy(
        folder / "models" / "plain-1.safetensors", folder / "models" / "plain-0.safetensors"
    )
    found = audited(folder)
    assert found.standing < found.images
    assert {one.kind for one in found.failures} == {"hash", "reading"}


def rewritten(folder: Path, name: str, **changes: object) -> None:
    path = folder / "facts" / f"{name}.npz"
    np.savez(path, **{**packing.unpacked(path.read_bytes()), **changes})


def test_made_up_facts_are_told(folder: Path) -> None:
    rewritten(folder, "plain-0-1-pgd-Linf", distance=np.full((2, 30), 0.5))
    rewritten(folder, "plain-1-1-pgd-Linf", eps=np.array([0.1, 0.3]))
    rewritten(folder, "noise-0-1-pgd-Linf", ids=np.arange(30) + 10**6)
    rewritten(folder, "noise-1-1-pgd-Linf", labels=np.zeros(30, dtype=np.int64))
    said = " ".join(lines(audited(folder)))
    for part in ("farther than eps", "other eps", "data set has not", "labels are not"):
        assert part in said


def test_files_of_no_job_are_noted(folder: Path) -> None:
    with ledger.written(folder) as known, known:
        known.execute("DELETE FROM jobs")
    found = audited(folder)
    assert (found.failures, found.files, found.images) == ((), 0, 0)
    assert "27 files are of no job" in found.notes[0]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="holds no run"):
        audited(tmp_path)


def test_a_damaged_ledger_is_refused(folder: Path) -> None:
    (folder / "ledger.sqlite").write_bytes(b"not a database at all, and long enough to look like")
    with pytest.raises(RunRefused, match="cannot be read"):
        audited(folder)


def test_code_that_a_study_names_is_told(folder: Path) -> None:
    assert code(folder) == []
    path = folder / "study.json"
    plain = json.loads(path.read_bytes())
    plain["recipes"][1]["input"] = [["mine.py:blur", {}], ["jpeg", {}]]
    path.write_text(json.dumps({**plain, "model": "mine.py:net", "dataset": "digits"}))
    assert code(folder) == ["mine.py:net", "mine.py:blur"]


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("dataset", "mine.py:data.onnx"),
        ("dataset", "timm:data"),
        ("model", "mine.py:net.safetensors"),
        ("input", "mine.py:blur.pt2"),
    ],
)
def test_code_does_not_hide_behind_the_ending_of_a_file(
    folder: Path, place: str, word: str
) -> None:
    path = folder / "study.json"
    plain = json.loads(path.read_bytes())
    if place == "input":
        plain["recipes"][1]["input"] = [[word, {}]]
    path.write_text(json.dumps(plain if place == "input" else {**plain, place: word}))
    assert code(folder) == [word]


def test_code_that_a_network_of_an_evaluation_names_is_told(folder: Path) -> None:
    weights = toys.saved(folder / "net.safetensors")
    path = folder / "study.json"
    plain = json.loads(path.read_bytes())
    plain["recipes"][0]["given"] = {"which": str(weights)}
    path.write_text(json.dumps(plain))
    assert code(folder) == ["toys:pyramid", "toys:striped"]
