"""What every kind of report promises."""

import pytest

from unfooled import catalog
from unfooled.report import Report


@pytest.mark.parametrize("name", catalog.names("reports"))
def test_a_report_is_bytes_and_the_same_each_time(name: str, small_report: Report) -> None:
    make = catalog.function("reports", name)
    assert catalog.module("reports", name).ENDING
    first = make(small_report)
    assert isinstance(first, bytes)
    assert make(small_report) == first
