import pytest

from unfooled import attack, defence
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
        ("adversarial", {"steps": 0}, InvalidOption),
        ("trades", {"step_size": -0.5}, InvalidOption),
        ("mart", {"warm_up": 1.5}, InvalidOption),
        ("ibp", {"start": float("nan")}, InvalidOption),
        ("adversarial", {"attack": "pdg"}, UnknownName),
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


def test_the_extra_passes_of_each_batch() -> None:
    assert defence.find("standard").passes == 0
    assert defence.find("adversarial", steps=7).passes == 7
    assert defence.find("adversarial", attack="pgd").passes == attack.find("pgd").cost
    assert defence.find("adversarial", eps=0.2).all_options["eps"] == 0.2
