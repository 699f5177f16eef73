"""The numbers, for other programs."""

import json as text

from unfooled.report import Report
from unfooled.reports.json import json


def test_every_number_is_finite_and_the_answer_is_there(small_report: Report) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    whole = text.loads(json(small_report), parse_constant=refuse)
    assert whole["answer"]["sentence"] == small_report.answer.sentence
    assert [recipe["name"] for recipe in whole["recipes"]] == ["plain", "noise", "adversarial"]
    assert whole["environment"]["packages"]["torch"]


def test_time_stands_in_the_environment_alone(small_report: Report) -> None:
    whole = text.loads(json(small_report))
    del whole["environment"]
    assert "seconds" not in text.dumps(whole)
