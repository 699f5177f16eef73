"""What the pages say agrees with the results."""

from collections.abc import Iterator

import pytest

from unfooled.grid import Table
from unfooled.page import page
from unfooled.report import Report
from unfooled.tables import pairs, summary


def tables(report: Report) -> Iterator[Table]:
    whole = page(report)
    yield whole.steps
    for section in whole.sections:
        yield from section.tables


def test_every_row_has_as_many_cells_as_its_head(small_report: Report) -> None:
    for table in tables(small_report):
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.head)}
    head, rows = summary(small_report)
    assert {len(row) for row in rows} == {len(head)}


def test_the_four_steps_show_the_clean_accuracies(small_report: Report) -> None:
    steps = page(small_report).steps
    assert [row[0][:2] for row in steps.rows if row[0]] == ["1.", "2.", "3.", "4."]
    for place, recipe in ((0, 0), (4, 1)):
        clean = small_report.results.recipes[recipe].clean
        assert steps.rows[place][2] == f"{100 * clean.value:.2f}"


def test_the_first_page_says_what_it_does_not_show(small_report: Report) -> None:
    whole = page(small_report)
    assert "upper bound" in whole.limits
    assert whole.title == small_report.study.question
    assert whole.sentence == small_report.answer.sentence


def test_of_many_pairs_only_those_with_the_baseline_are_shown(
    small_report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = pairs(small_report)
    monkeypatch.setattr("unfooled.tables._PAIRS", len(everything.rows) - 1)
    few = pairs(small_report)
    assert len(few.rows) < len(everything.rows)
    baseline = small_report.results.recipes[0].title
    assert few.rows == tuple(row for row in everything.rows if row[0].endswith(f": {baseline}"))
    assert "results.json" in few.note
    assert "results.json" not in everything.note
