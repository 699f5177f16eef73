"""Defences that only look robust are caught, honest ones are spared: on small networks."""

import json
import shutil
from pathlib import Path

import pytest

from unfooled import config, provenance, report, run
from unfooled.report import Report

pytestmark = pytest.mark.usefixtures("quick_studies")

STUDIES = Path(__file__).parents[2] / "studies"

# The attacks are weak on purpose, as in studies/sham.toml.
STUDY = """
dataset = "digits"
model = "toys:pyramid"
seeds = 1
answer_eps = 0.1
margin = 0.05
audit = { images = 50 }

[plan]
epochs = 8
batch_size = 64
learning_rate = 0.005

[recipes]
plain = {}
adversarial.defence = { name = "adversarial", eps = 0.15, steps = 2, step_size = 0.7 }
trades.defence = { name = "trades", eps = 0.15, steps = 2, step_size = 0.7 }
ibp.defence = { name = "ibp", eps = 0.1, warm_up = 0.5, kappa = 0.5 }
smoothing.defence = { name = "label_smoothing", smoothing = 0.3 }
scaled = { defence = { name = "sham.py:scaled", times = 300.0 }, epochs = 20, learning_rate = 0.1 }
shattered.input = [{ name = "sham.py:shattered" }]
rounded.input = [{ name = "sham.py:rounded", bits = 3 }]
resized.input = [{ name = "sham.py:resized", smallest = 0.8 }]
undefined.input = [{ name = "sham.py:undefined" }]
wary.input = [{ name = "sham.py:wary" }]

[[attacks]]
name = "fgsm"
eps = [0.0, 0.1]
images = 100

[[attacks]]
name = "pgd"
eps = [0.0, 0.1]
images = 100
steps = 10
"""
HONEST = ("plain", "adversarial", "trades", "ibp")
SHAMS = {
    "smoothing": {"too_high", "more_steps"},
    "scaled": {"too_high", "rescaled_logits", "eps_without_bound"},
    "shattered": {"too_high", "black_box"},
    "rounded": {"too_high", "black_box", "eps_without_bound"},
    "resized": {"random_answers", "silent_success"},
    "undefined": {"gradients", "missing"},
    "wary": {"too_high", "black_box", "watched_answers"},
}


@pytest.fixture(scope="module")
def told(quick_studies: None, tmp_path_factory: pytest.TempPathFactory) -> Report:
    home = tmp_path_factory.mktemp("sham")
    shutil.copy(STUDIES / "sham.py", home)
    (home / "small.toml").write_text(STUDY)
    study = config.read(home / "small.toml")
    failed = run.run(study, home / "run", device="cpu", workers=1)
    assert {one.job.name(study).partition("-")[0] for one in failed} == {"undefined"}
    assert not any(one.job.kind == "probed" for one in failed)
    study, _ = provenance.asked(home / "run")
    return report.gather(home / "run", allow=provenance.code(study))


def failed(told: Report, recipe: str) -> set[str]:
    return {f.check for f in told.findings if (f.recipe, f.verdict) == (recipe, "failed")}


@pytest.mark.parametrize("recipe", SHAMS)
def test_a_sham_is_caught(told: Report, recipe: str) -> None:
    assert SHAMS[recipe] <= failed(told, recipe)


@pytest.mark.parametrize("recipe", HONEST)
def test_an_honest_training_is_spared(told: Report, recipe: str) -> None:
    assert failed(told, recipe) == set()


def test_what_is_caught_keeps_no_verdict_and_the_others_do(told: Report) -> None:
    for one in told.results.comparisons:
        if one.first == "plain" and one.norm:
            assert (one.verdict == "not shown") == (one.second in SHAMS)
    assert told.answer.short == "Cannot tell."  # with one seed


def test_every_study_file_of_ours_is_beside_its_functions() -> None:
    study = config.read(STUDIES / "sham.toml")
    own = [recipe.defence[0] for recipe in study.recipes if ":" in recipe.defence[0]]
    own += [name for recipe in study.recipes for name, _ in recipe.input]
    assert len(own) == 7
    assert all(name.startswith(str(STUDIES.resolve())) for name in own)
    json.dumps(study.plain())
