import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled import peer
from unfooled.errors import UnknownName
from unfooled.peer import Task, chosen, in_parts, iterations
from unfooled.shapes import Images, Labels

TASK = Task("pgd", 10, "Linf", (0.1,), (1, 8, 8), 2)


def test_every_library_says_what_brings_it() -> None:
    assert peer.names() == [
        *("adv_lib", "art", "cleverhans", "foolbox", "torchattacks", "unfooled"),
    ]
    for name in peer.names():
        assert peer.find(name).install.startswith("pip install ")


def test_ours_is_always_there() -> None:
    assert peer.find("unfooled").version is not None


def test_an_unknown_library_is_told() -> None:
    with pytest.raises(UnknownName, match="did you mean 'foolbox'"):
        peer.find("fullbox")


def test_an_attack_that_a_library_has_not_is_told_with_those_it_has() -> None:
    with pytest.raises(UnknownName, match="it is for pgd L2, fgsm Linf"):
        chosen("mine", {("pgd", "L2"): int, ("fgsm", "Linf"): int}, TASK)


def test_parts_are_put_together_in_order() -> None:
    images = toys.pictures(7)
    seen = []

    def half(x: Tensor, y: Tensor) -> Tensor:
        seen.append(len(x))
        return x / 2

    (found,) = in_parts([half], 3)(images, torch.zeros(7, dtype=torch.int64))
    assert torch.equal(found, images / 2)
    assert seen == [3, 3, 1]


@pytest.mark.parametrize(("queries", "count"), [(1, 1), (5000, 16)])
def test_iterations_fit_into_the_queries(queries: int, count: int) -> None:
    asked = sum(int(100 * (j + 1) ** 0.5) + 20 for j in range(count))
    assert iterations(queries) == count
    assert asked <= queries or count == 1


class Recorded:
    """A library's attack that notes how it was made and moves every pixel."""

    made: list[dict[str, Any]]

    def __init__(self, *given: Any, **options: Any) -> None:
        type(self).made.append({"given": given, **options})

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        return images + 0.1

    def run(self, model: object, images: Tensor, criterion: object, **given: float) -> Tensor:
        type(self).made[-1] |= given
        return images + 0.1


def module(name: str, monkeypatch: pytest.MonkeyPatch, **members: object) -> None:
    found = types.ModuleType(name)
    for key, member in members.items():
        setattr(found, key, member)
    monkeypatch.setitem(sys.modules, name, found)


@pytest.fixture
def recorded() -> type[Recorded]:
    return type("Recorded", (Recorded,), {"made": []})


def asked(name: str, model: nn.Module, images: Images, labels: Labels, task: Task = TASK) -> Images:
    (found,) = peer.find(name).prepare(model, task, 100, 0)(images, labels)
    return found


def test_torchattacks_is_told_the_step_size(
    plane: toys.Plane,
    images: Images,
    labels: Labels,
    monkeypatch: pytest.MonkeyPatch,
    recorded: type[Recorded],
) -> None:
    module("torchattacks", monkeypatch, PGD=recorded)
    assert torch.equal(asked("torchattacks", plane, images, labels), images + 0.1)
    (made,) = recorded.made
    assert (made["eps"], made["alpha"], made["steps"]) == (0.1, pytest.approx(0.025), 10)


def test_foolbox_is_told_the_step_size_and_eps(
    plane: toys.Plane,
    images: Images,
    labels: Labels,
    monkeypatch: pytest.MonkeyPatch,
    recorded: type[Recorded],
) -> None:
    attacks = types.SimpleNamespace(LinfPGD=recorded, LInfFMNAttack=recorded)
    module("foolbox", monkeypatch, PyTorchModel=lambda model, **_: model, attacks=attacks)
    module("foolbox.criteria", monkeypatch, Misclassification=lambda labels: labels)
    assert torch.equal(asked("foolbox", plane, images, labels), images + 0.1)
    (made,) = recorded.made
    assert (made["abs_stepsize"], made["epsilon"]) == (pytest.approx(0.025), 0.1)
    # One that looks for the nearest has no eps to be told.
    asked("foolbox", plane, images, labels, Task("fmn", 10, "Linf", (0.1,), (1, 8, 8), 2))
    assert "epsilon" not in recorded.made[-1]


def test_adv_lib_is_imported_without_what_it_draws_with(
    plane: toys.Plane, images: Images, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def pgd(model: nn.Module, x: Tensor, y: Tensor, eps: float, **options: Any) -> Tensor:
        seen.append({"eps": eps, **options})
        return x + eps

    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    attacks = types.SimpleNamespace(pgd_linf=pgd)
    module("adv_lib", monkeypatch, attacks=attacks)
    module("adv_lib.attacks", monkeypatch)
    module("adv_lib.attacks.auto_pgd", monkeypatch, apgd=nothing)
    assert torch.equal(asked("adv_lib", plane, images, labels), images + 0.1)
    assert seen == [{"eps": 0.1, "steps": 10, "absolute_step_size": pytest.approx(0.025)}]
    assert "visdom" not in sys.modules
