from unfooled.statistics import Estimate
from unfooled.wording import interval, listed, percent, points, points_interval, public, quoted


def test_shares_are_per_cent_with_a_space_that_no_line_breaks_at() -> None:
    assert percent(0.405) == "40.5\N{NO-BREAK SPACE}%"
    assert percent(1.0, 0) == "100\N{NO-BREAK SPACE}%"


def test_points_have_a_real_minus_sign_and_no_negative_zero() -> None:
    assert points(-0.075) == "\N{MINUS SIGN}7.5"
    assert points(0.1) == "+10.0"
    assert points(-0.0001) == "0.0"


def test_intervals_are_written_as_per_cent_or_as_points() -> None:
    ends = Estimate(0.4, 0.382, 0.429, 100, 1)
    assert interval(ends) == "38.2 to 42.9"
    assert points_interval(ends) == "+38.2 to +42.9"


def test_clauses_are_listed_with_one_and() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b, and c"
    assert quoted("a, b") == "\N{LEFT DOUBLE QUOTATION MARK}a, b\N{RIGHT DOUBLE QUOTATION MARK}"


def test_an_address_is_shown_without_who_may_enter() -> None:
    assert public("--mlflow=https://me:a@b@there:5000/x") == "--mlflow=https://there:5000/x"
    for words in ("http://there/a@b", "http://there?to=a@b", "me@there", "runs/a@b"):
        assert public(words) == words
