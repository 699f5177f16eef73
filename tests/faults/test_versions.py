"""Folders that another unfooled left: each release's is kept in `tests/stores`."""

import json
import shutil
import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest

from unfooled import auditing, columns, jobs, ledger, report, run, store
from unfooled.errors import RunRefused
from unfooled.in_process import in_process
from unfooled.run import Step
from unfooled.study import Study

KEPT = sorted(path.parent for path in Path(__file__).parents[1].glob("stores/*/ledger.sqlite"))
JOBS = 10
PILLOW = {"0.1.0": "13.0.0"}  # which the ledgers of that version do not tell


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a folder that this release made."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def files(folder: Path) -> dict[str, bytes]:
    """All that a run found."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("models", "facts", "earlier")
        for path in (folder / part).glob("*")
    }


def asked(folder: Path) -> Study:
    return report.asked(folder)[0]


def of_its_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages as they were then, so that the keys are the same on every machine."""
    told = json.loads((folder / "environment.json").read_bytes())
    packages = {**told["packages"], "pillow": PILLOW.get(folder.name, version("pillow"))}
    monkeypatch.setattr(jobs, "version", packages.__getitem__)
    monkeypatch.setattr(jobs, "__version__", told["unfooled"])
    monkeypatch.setattr("unfooled.engines.local.local", in_process)


def test_there_is_one_for_each_form() -> None:
    assert [path.name for path in KEPT] == ["0.1.0"]


def test_it_is_read_by_every_reading_command_without_a_change(old: Path) -> None:
    before = files(old)
    assert len(columns.facts(old)["robust"]) == 2 * 2 * 2 * 12  # recipes, attacks, eps, images
    assert auditing.audit(old, data=None, device="cpu").failures == ()
    found = report.gather(old)
    assert found.results.missing == ()
    assert [recipe.name for recipe in found.results.recipes] == ["plain", "flips"]
    assert files(old) == before


def test_it_is_brought_up_to_date_with_all_that_was_finished(old: Path) -> None:
    rows = "SELECT key, name, file, sha256, seconds FROM jobs ORDER BY key"
    with sqlite3.connect(old / "ledger.sqlite") as known:
        before = known.execute(rows).fetchall()
    known.close()
    with store.opened(old, asked(old).plain()) as ledger_of_old:
        assert ledger_of_old.finished() == {row[0] for row in before}
        assert len(before) == JOBS
    with ledger.readable(old) as known:
        assert known.execute(rows).fetchall() == before
        assert known.execute("PRAGMA user_version").fetchone() == (ledger.VERSION,)


def test_the_same_command_goes_on_from_there(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_its_time(old, monkeypatch)
    before, steps = files(old), list[Step]()
    assert run.run(asked(old), old, device="cpu", on_step=steps.append) == []
    assert steps == [Step(None, 1.0, JOBS, JOBS)]
    assert files(old) == before


@pytest.mark.parametrize("what", ["unfooled", "torch"])
def test_made_with_something_else_it_is_refused_in_one_line_and_nothing_is_lost(
    old: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    of_its_time(old, monkeypatch)
    then = jobs.version
    if what == "unfooled":
        monkeypatch.setattr(jobs, "__version__", "99.0")
    else:
        monkeypatch.setattr(jobs, "version", lambda name: "99.0" if name == what else then(name))
    before, environment = files(old), (old / "environment.json").read_bytes()
    with pytest.raises(RunRefused) as refused:
        run.run(asked(old), old, device="cpu", source="# another")
    said = str(refused.value)
    for part in (f"{what}: ", "there, 99.0 now", f"{JOBS} finished jobs", "--out", "report"):
        assert part in said
    assert len(said.splitlines()) == 1
    assert files(old) == before
    assert (old / "environment.json").read_bytes() == environment
    assert report.gather(old).results.missing == ()


def test_a_folder_of_a_newer_unfooled_is_refused_by_all_who_open_it(old: Path) -> None:
    plain, environment = asked(old).plain(), json.loads((old / "environment.json").read_bytes())
    (old / "environment.json").write_text(json.dumps({**environment, "unfooled": "99.0"}))
    with sqlite3.connect(old / "ledger.sqlite") as known:
        known.execute("PRAGMA user_version = 99")
    known.close()
    content = (old / "ledger.sqlite").read_bytes()
    for opening in (
        lambda: store.opened(old, plain).__enter__(),
        lambda: report.gather(old),
        lambda: store.files(old),
        lambda: columns.facts(old),
    ):
        with pytest.raises(RunRefused, match=r"made by unfooled 99\.0, which .* form 99; this is"):
            opening()
    assert (old / "ledger.sqlite").read_bytes() == content


def test_jobs_of_code_that_was_changed_since_are_done_again_and_kept_aside(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_its_time(old, monkeypatch)
    fingerprint = jobs.catalog.fingerprint
    monkeypatch.setattr(
        jobs.catalog, "fingerprint", lambda name: fingerprint(name) + " changed" * (name == "pgd")
    )
    before, steps = files(old), list[Step]()
    assert run.run(asked(old), old, device="cpu", on_step=steps.append) == []
    assert (steps[0].finished, steps[0].aside) == (JOBS - 2, 2)
    aside = {name: content for name, content in files(old).items() if name.startswith("earlier/")}
    gone = [content for name, content in before.items() if "pgd" in name]
    assert sorted(aside.values()) == sorted(gone)
    assert all(
        name.startswith(("earlier/plain-0-1-pgd", "earlier/flips-0-1-pgd")) for name in aside
    )
    assert files(old).keys() - aside.keys() == before.keys()
