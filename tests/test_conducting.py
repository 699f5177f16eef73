"""A study from Python, without processes."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import toys

from unfooled import conduct
from unfooled.errors import InvalidStudy, JobFailed
from unfooled.run import Step
from unfooled.study import Study, Sweep

pytestmark = pytest.mark.usefixtures("quick_studies")

STUDY = toys.study(seeds=1, sweeps=(Sweep("fgsm", {}, "Linf", (0.0, 0.1)),))


def test_a_study_becomes_its_report_and_goes_on_where_it_was(tmp_path: Path) -> None:
    steps = list[Step]()
    first = conduct(STUDY, tmp_path, on_step=steps.append)
    assert [recipe.title for recipe in first.results.recipes] == ["Plain", "Flips"]
    assert steps[-1].finished == steps[-1].total > 0
    assert first.environment["command"].startswith("unfooled.conduct")
    begun = list[Step]()
    again = conduct(STUDY, str(tmp_path), on_step=begun.append)
    assert again.results == first.results
    assert [step.event for step in begun] == [None]


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert conduct(STUDY).answer.sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (replace(STUDY, seeds=0), "seeds: must be at least 1, not 0"),
        (replace(STUDY, recipes=()), "recipes: a study needs at least one"),
        (replace(STUDY, answer_eps=0.2), "answer_eps: 0.2 is not among"),
        (
            replace(STUDY, sweeps=(Sweep("fgsm", {}, "Linf", (0.2, 0.1)),)),
            "eps must ascend, without repeats, to a value above 0; got 0.2, 0.1",
        ),
        (replace(STUDY, sweeps=(Sweep("fgsm", {}, "Linf", ()),)), "got none"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_done(
    study: Study, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidStudy, match=said):
        conduct(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*given: object, **named: object) -> None:
        raise JobFailed("no luck today")

    monkeypatch.setattr("unfooled.training.train", failing)
    with pytest.raises(JobFailed, match="plain-0, flips-0 failed: no luck today; 6 jobs"):
        conduct(STUDY, tmp_path)
