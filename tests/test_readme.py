"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest

from unfooled import config

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)[0]


def test_the_study_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(block("toml"))
    study = config.read(path)
    assert [recipe.name for recipe in study.recipes] == ["plain", "noise", "adversarial"]
    assert [sweep.title for sweep in study.sweeps] == ["FGSM", "PGD-40"]


def test_the_python_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "README.md", "exec"), {})
    sentence, estimate = capsys.readouterr().out.splitlines()
    assert sentence.partition("At Linf eps 0.1, over 100 images")[1]
    assert estimate.startswith("Estimate(value=0.")
    assert (tmp_path / "runs" / "mine" / "report" / "results.pdf").exists()


@pytest.mark.parametrize("address", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_file_that_the_readme_points_to_is_there(address: str) -> None:
    assert (Path(__file__).parents[1] / address).exists()
