from pathlib import Path

import numpy as np
import pytest
import toys

from unfooled import believed, report, run
from unfooled.errors import InvalidData
from unfooled.study import Sweep


@pytest.mark.usefixtures("quick_studies")
def test_an_attack_with_targets_may_have_images_that_no_other_has(tmp_path: Path) -> None:
    """All but those of its class, of a sample that is larger than that of the other attack."""
    sweeps = (
        Sweep("fgsm", {}, "Linf", (0.0, 0.1), images=60),
        Sweep("pgd", {"steps": 2}, "Linf", (0.0, 0.1), images=90, targets="lying"),
    )
    study = toys.study(seeds=1, sweeps=sweeps)
    assert run.run(study, tmp_path, device="cpu") == []
    facts = report.gather(tmp_path).facts
    assert set(facts[0, 0, 1].ids) - set(facts[0, 0, 0].ids)
    assert set(facts[0, 0, 0].ids) - set(facts[0, 0, 1].ids)


def test_facts_about_other_images_or_labels_do_not_belong_together() -> None:
    study = toys.study(seeds=2)
    one = toys.evaluation([[0, 1, 0], [0, 1, 1]])
    believed.together(study, {(0, 0, 0): one, (0, 1, 0): one})
    for other in (
        toys.evaluation([[0, 1, 0], [0, 1, 1]], ids=np.arange(1, 4)),
        toys.evaluation([[0, 1], [0, 1]]),
    ):
        with pytest.raises(InvalidData, match="other images than the same attack"):
            believed.together(study, {(0, 0, 0): one, (0, 1, 0): other})
    relabelled = toys.evaluation([[0, 1], [0, 1]], labels=np.array([0, 2]))
    with pytest.raises(InvalidData, match="other labels"):
        believed.together(study, {(0, 0, 0): one, (0, 0, 1): relabelled})


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([], "came about in another way"),
        ([{"loss": float("nan"), "validation": 0.5, "transformed": 0.5}], "history.0.loss"),
        ([{"loss": 1e308, "validation": 0.5, "transformed": 0.5}], "history.0.loss"),
        ([{"loss": 1.0, "validation": 2.0, "transformed": 0.5}], "history.0.validation"),
        ([{"loss": 1.0, "validation": 0.5}], "history.0.transformed"),
        ("none", "history"),
    ],
)
def test_a_head_of_no_training_is_refused(tmp_path: Path, history: object, said: str) -> None:
    """A report could not be written of such numbers."""
    content = toys.saved(tmp_path / "a", {"history": history, "overfitted": False}).read_bytes()
    with pytest.raises(InvalidData, match=said):
        believed.head(content, toys.study())
