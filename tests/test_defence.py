import pytest

from unfooled import defence
from unfooled.errors import InvalidOption, InvalidThreat, UnknownName
from unfooled.threat import Threat


def test_an_unknown_defence_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'adversarial'"):
        defence.find("adverserial")


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("standard", {"eps": 0.1}, InvalidOption),
        ("adversarial", {"esp": 0.1}, InvalidOption),
        ("adversarial", {"eps": "0.1"}, InvalidOption),
        ("adversarial", {"progress": 0.1}, InvalidOption),
        ("adversarial", {"eps": -0.1}, InvalidThreat),
        ("adversarial", {"eps": float("nan")}, InvalidThreat),
        ("adversarial", {"norm": "L7"}, InvalidThreat),
    ],
)
def test_a_wrong_option_is_refused(
    name: str, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        defence.find(name, **options)


def test_a_defence_with_eps_trains_against_a_threat() -> None:
    assert defence.find("adversarial", eps=0.2).threat == Threat("Linf", 0.2)
    assert defence.find("adversarial", eps=1, norm="L2").threat == Threat("L2", 1)
    assert defence.find("standard").threat is None


def test_steps_are_the_extra_passes_of_each_batch() -> None:
    assert defence.find("standard").steps == 0
    assert defence.find("adversarial", steps=7).steps == 7
    assert defence.find("adversarial", eps=0.2).all_options["eps"] == 0.2
