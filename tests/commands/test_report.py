"""One run's report again, or several side by side."""

import shutil
from pathlib import Path

from typed import run


def test_several_runs_are_laid_side_by_side(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "other", ignore=shutil.ignore_patterns("report"))
    done = run("report", str(small_run), "other", "--out", "both", cwd=tmp_path)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        *("results.html", "results.md", "results.pdf", "figures"),
    }
    assert "run Cannot tell." in done.out
    assert "other Cannot tell." in done.out


def test_runs_of_one_name_do_not_overwrite_each_other_in_a_tracker(
    small_run: Path, tmp_path: Path
) -> None:
    for place in ("a", "b"):
        shutil.copytree(small_run, tmp_path / place / "run")
    done = run("report", "a/run", "b/run", "--out", "both", "--tensorboard=logs", cwd=tmp_path)
    assert done.code == 2
    assert "run comes twice" in done.err
    assert not (tmp_path / "both").exists()


def test_a_run_that_is_not_there_or_named_twice_is_refused(small_run: Path, tmp_path: Path) -> None:
    for second, said in (("nowhere", "holds no run"), (str(small_run), "named twice")):
        done = run("report", str(small_run), second, "--out", "both", cwd=tmp_path)
        assert done.code == 2
        assert said in done.err
    assert not (tmp_path / "both").exists()
