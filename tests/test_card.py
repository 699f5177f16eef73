import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from unfooled.card import Card, as_json, as_markdown, cards, left_out, schema
from unfooled.outcomes import WORST
from unfooled.report import Report

DOCS = Path(__file__).parent.parent / "docs"


def test_the_published_schema_is_the_cards() -> None:
    assert (DOCS / "card.schema.json").read_bytes() == schema()


def test_every_recipe_has_a_card_with_the_reports_numbers(small_report: Report) -> None:
    made = cards(small_report)
    assert list(made) == [recipe.name for recipe in small_report.results.recipes]
    for recipe in small_report.results.recipes:
        card = made[recipe.name]
        assert card.clean.value == recipe.clean.value
        worst = {m.eps: m.correct.value for m in card.measured if m.attack == WORST}
        # The worst case is told where every attack was made.
        curve = recipe.curve(WORST, "Linf")
        assert worst == {eps: curve.at(eps).value for eps in (0.1, 0.2)}


def test_the_audit_of_a_recipe_and_of_the_study_stands_in_its_card(small_report: Report) -> None:
    card = cards(small_report)["plain"]
    own = [one for one in small_report.findings if one.recipe in ("", "plain")]
    assert [(one.check, one.verdict) for one in card.audit] == [
        (one.check, one.verdict) for one in own
    ]
    assert f"{sum(one.verdict == 'ok' for one in own)} ok" in as_markdown(card).decode()


def test_what_no_card_tells_of_is_said(small_report: Report) -> None:
    assert left_out(small_report) == []
    results = small_report.results
    torn = replace(results, missing=("noise-0", "noise-1", "adversarial-1"))
    whole, part = left_out(replace(small_report, results=torn))
    assert whole == "no card for Noise, #strong: its facts are damaged or missing"
    assert "adversarial is without adversarial-1" in part


def test_a_card_survives_its_json_and_refuses_what_is_none(small_report: Report) -> None:
    card = cards(small_report)["plain"]
    assert Card.model_validate_json(as_json(card)) == card
    plain = json.loads(as_json(card))
    with pytest.raises(ValidationError):
        Card.model_validate({**plain, "more": 1})
    with pytest.raises(ValidationError):
        Card.model_validate({**plain, "clean": {**plain["clean"], "value": 1.5}})


def test_the_head_of_the_markdown_is_what_sites_of_models_read(small_report: Report) -> None:
    text = as_markdown(cards(small_report)["plain"]).decode()
    _, head, body = text.split("---\n", 2)
    keys = dict(line.split(": ", 1) for line in head.strip().splitlines())
    index = json.loads(keys["model-index"])
    metrics = index[0]["results"][0]["metrics"]
    assert metrics[0]["name"] == "Accuracy"
    assert {m["args"]["eps"] for m in metrics[1:]} == {0.1, 0.2}
    assert json.loads(keys["tags"])
    assert "upper bound" in body
    assert "SHA-256" in body
