import pytest

from unfooled.wording import percent, points

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"), [(0.405, "40.5"), (1.0, "100.0"), (0.0, "0.0"), (0.99999, "100.0")]
)
def test_a_share_is_written_in_percent(value: float, text: str) -> None:
    assert percent(value) == f"{text}\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "+5.0"), (-0.075, f"{MINUS}7.5"), (0.0, "0.0"), (-0.0001, "0.0"), (0.0001, "0.0")],
)
def test_a_difference_is_written_in_points_with_its_sign(value: float, text: str) -> None:
    assert points(value) == text
