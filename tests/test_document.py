"""results.json says what its schema says, whatever a study asks for."""

import json
from pathlib import Path
from typing import Any

import pytest
import toys
from jsonschema import Draft202012Validator

from unfooled import document, run
from unfooled.evaluating import evaluate
from unfooled.report import Report, gather
from unfooled.reports.json import json as written
from unfooled.shapes import Images, Labels
from unfooled.study import Audit, Certificates, Corruptions, Sweep

pytestmark = pytest.mark.usefixtures("quick_studies")

PUBLISHED = Path(__file__).parents[1] / "docs" / "results.schema.json"
SCHEMA = json.loads(document.schema())


def faults(results: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(results)]


@pytest.fixture(scope="module")
def everything(quick_studies: None, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of a study that asks for all that a study can ask for."""
    sweeps = (
        *toys.study().sweeps,
        Sweep("fgsm", {}, "Linf", (0.1,), images=30, called="aimed", targets="every"),
    )
    asked = toys.study(
        sweeps=sweeps,
        recipes=toys.study().recipes[:1],
        seeds=1,
        audit=Audit(images=5),
        corruptions=Corruptions(("brightness",), (1, 5), 10),
        certificates=Certificates((0.01, 0.1), 10),
    )
    folder = tmp_path_factory.mktemp("everything")
    assert run.run(asked, folder, device="cpu") == []
    return gather(folder)


def test_the_published_schema_is_the_one_of_the_types() -> None:
    assert PUBLISHED.read_bytes() == document.schema()
    Draft202012Validator.check_schema(SCHEMA)


def test_the_results_of_a_study_keep_to_it(small_report: Report, everything: Report) -> None:
    for report in (small_report, everything):
        results = json.loads(written(report))
        assert results["schema"] == document.VERSION
        assert faults(results) == []
    recipe = json.loads(written(everything))["recipes"][0]
    assert recipe["certified"]
    assert recipe["bracket"]
    assert recipe["corrupted"]


def test_the_results_of_an_evaluation_keep_to_it(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    made = evaluate(plane, images[:6], labels[:6], eps=0.05, attacks=["fgsm"])
    assert faults(json.loads(written(made))) == []


def test_what_it_does_not_know_and_what_is_missing_are_refused(small_report: Report) -> None:
    results = json.loads(written(small_report))
    assert faults({**results, "more": 1})
    assert faults({**results, "schema": document.VERSION + 1})
    for key in results:
        assert faults({name: value for name, value in results.items() if name != key}), key
    results["recipes"][0]["clean"]["value"] = "high"
    assert faults(results)


def test_every_key_is_explained() -> None:
    for name, block in (("Document", SCHEMA), *SCHEMA["$defs"].items()):
        for key, value in block["properties"].items():
            assert value.get("description"), f"{name}.{key}"
