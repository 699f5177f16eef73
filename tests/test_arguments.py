import math

import pytest

from unfooled import arguments
from unfooled.errors import InvalidOption, InvalidThreat
from unfooled.threat import Threat


@pytest.mark.parametrize(
    ("text", "eps"), [("0.3", 0.3), ("8/255", 8 / 255), ("inf", math.inf), ("0", 0), ("1e-2", 0.01)]
)
def test_eps_is_a_number_a_fraction_or_infinite(text: str, eps: float) -> None:
    assert arguments.threat("L2", text) == Threat("L2", eps)


@pytest.mark.parametrize(
    "text", ["8/0", "-0.1", "nan", "much", "", "8/", "/255", "1/2/3", "inf/inf", "-1/2"]
)
def test_any_other_eps_is_refused_and_shown(text: str) -> None:
    with pytest.raises(InvalidThreat, match="eps must be"):
        arguments.threat("Linf", text)


def test_more_than_the_whole_range_is_refused_with_what_was_meant() -> None:
    with pytest.raises(InvalidThreat, match=r"at most 1, .* it is 8\. .* 8/255"):
        arguments.threat("Linf", "8")
    assert arguments.threat("Linf", "1").eps == 1
    assert arguments.threat("L2", "8").eps == 8


def test_options_are_numbers_where_they_can_be() -> None:
    given = ["steps=10", "step_size=2/255", "rate=0.5", "loss=dlr", "model=a=b"]
    found = arguments.options(given)
    assert found == {
        "steps": 10,
        "step_size": 2 / 255,
        "rate": 0.5,
        "loss": "dlr",
        "model": "a=b",
    }
    assert type(found["steps"]) is int


@pytest.mark.parametrize("pair", ["steps", "=3", "steps=", "steps 3"])
def test_an_option_without_a_name_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(InvalidOption, match="steps=10"):
        arguments.options([pair])


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'steps' is given twice"):
        arguments.options(["steps=3", "steps=4"])
