"""Several runs on one page, each with its own answer."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from unfooled.beside import beside
from unfooled.publishing import publish_beside
from unfooled.report import Report


@pytest.fixture
def pair(small_report: Report) -> dict[str, Report]:
    first = small_report.results.recipes[0]
    other = (first, replace(small_report.results.recipes[1], title="Another"))
    results = replace(small_report.results, recipes=other)
    return {"one": small_report, "two": replace(small_report, results=results)}


def test_recipes_are_matched_by_their_titles(pair: dict[str, Report]) -> None:
    page = beside(pair)
    titles = [row[0] for row in page.steps.rows]
    assert titles == [*(r.title for r in pair["one"].results.recipes), "Another"]
    assert {len(row) for row in page.steps.rows} == {5}
    assert page.steps.rows[0][1] == page.steps.rows[0][3]
    assert page.steps.rows[1][3:] == ("", "")
    assert page.steps.rows[3][1:3] == ("", "")
    assert [section.title for section in page.sections] == ["one", "two"]
    assert page.title == pair["one"].study.question
    assert {row[0] for row in page.lead.rows} == {"one", "two"}


def test_three_runs_are_written(small_report: Report, tmp_path: Path) -> None:
    paths = publish_beside(dict.fromkeys(("a", "b", "c"), small_report), tmp_path / "new")
    assert {path.name for path in paths} == {"results.html", "results.md", "results.pdf"}
    assert (tmp_path / "new" / "figures" / "beside.csv").read_text().count("\n") > 10
    shutil.rmtree(tmp_path / "new")
