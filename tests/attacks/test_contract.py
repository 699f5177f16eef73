"""Every attack in `attacks/` meets these tests by itself; `unfooled.testing` has the promises."""

import inspect
from typing import Any

import pytest
from torch import nn

from unfooled import attack, catalog, specimens
from unfooled.attack import GIVEN, Attack
from unfooled.norms import NORMS
from unfooled.shapes import Images, Logits
from unfooled.testing import check_attack

NAMES = catalog.names("attacks")


class AnyKind(nn.Module):
    """A surrogate in float32 that takes images in float64 too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Images) -> Logits:
        logits: Logits = self.model(images.float())
        return logits


# What makes a slow attack small enough for a test and still leaves it an attack.
SMALL: dict[str, dict[str, Any]] = {
    "autoattack": {"steps_each": 10, "square_queries": 30},
    "boundary": {"queries": 300},
    "carlini_wagner": {"steps": 50, "searches": 5},
    "hopskipjump": {"queries": 400},
    "spsa": {"steps": 20, "samples": 16},
    "transfer": {"surrogates": [AnyKind(specimens.smooth().model)]},
}
FEW = {"queries": 100, "steps": 20}  # at most, of an attack without an entry above


def small(name: str) -> Attack:
    known = attack.find(name).all_options
    few = {option: min(most, known[option]) for option, most in FEW.items() if option in known}
    return attack.find(name, **SMALL.get(name, few))


@pytest.fixture(params=NAMES)
def tried(request: pytest.FixtureRequest) -> Attack:
    return attack.find(str(request.param))


def test_an_attack_says_what_it_promises_what_it_knows_and_under_which_norms(
    tried: Attack,
) -> None:
    home = catalog.module("attacks", tried.name)
    assert home.PROMISE in ("bounded", "nearest")
    assert home.KNOWS in ("gradients", "scores", "decisions", "nothing")
    assert home.NORMS
    assert set(home.NORMS) <= set(NORMS)
    assert len(set(home.NORMS)) == len(home.NORMS)


def test_an_attack_names_its_source(tried: Attack) -> None:
    assert "Source:" in (tried.function.__doc__ or "")
    assert "https://" in (tried.function.__doc__ or "")


def test_every_attack_takes_the_same_things_in_the_same_order(tried: Attack) -> None:
    functions = [tried.function, *([tried.sweeper] if tried.sweeper else [])]
    for function, threat in zip(functions, ("threat", "threats"), strict=False):
        parameters = inspect.signature(function).parameters
        assert list(parameters)[:6] == ["model", "images", "labels", threat, *GIVEN]
        for name, parameter in list(parameters.items())[4:]:
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert name == "draws" or parameter.default is not parameter.empty


def test_a_sweep_has_the_options_of_its_attack(tried: Attack) -> None:
    if tried.sweeper is not None:
        assert catalog.options(tried.sweeper, GIVEN) == catalog.options(tried.function, GIVEN)


@pytest.mark.usefixtures("unchecked")  # the shapes are checked in each attack's own tests
@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
@pytest.mark.parametrize(
    ("name", "norm"), [(name, norm) for name in NAMES for norm in attack.find(name).norms]
)
def test_an_attack_keeps_its_promises(name: str, norm: str, targeted: bool) -> None:
    check_attack(small(name), norm=norm, targeted=targeted)
