"""What a run leaves for people to read."""

from pathlib import Path

from unfooled import catalog
from unfooled.figures import all_figures
from unfooled.publishing import publish
from unfooled.report import Report


def test_every_kind_of_report_and_every_figure_is_written(
    small_report: Report, small_run: Path
) -> None:
    paths = publish(small_report, small_run)
    assert len(paths) == len(catalog.names("reports"))
    assert all(path.stat().st_size > 500 for path in paths)
    drawn = {path.stem for path in (small_run / "report" / "figures").glob("*.svg")}
    assert drawn == set(all_figures(small_report))
    numbers = {path.stem for path in (small_run / "report" / "figures").glob("*.csv")}
    assert numbers == drawn
