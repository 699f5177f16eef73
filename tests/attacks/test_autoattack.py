import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import Attack, find, in_turn
from unfooled.attacks import autoattack as home
from unfooled.errors import InvalidOption, InvalidThreat
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

DRAWS = Draws(0)
SMALL = {"steps_each": 8, "square_queries": 20}


def names(norm: str) -> list[tuple[str, dict[str, object]]]:
    return [(one.name, dict(one.options)) for one in home._members(norm, 100, 5000)]


def test_it_is_made_of_what_was_published() -> None:
    for norm in ("Linf", "L2"):
        assert names(norm) == [
            ("apgd", {"steps": 100}),
            ("apgd", {"steps": 100, "loss": "dlr", "over_targets": 9}),
            ("fab", {"steps": 100, "over_targets": 9}),
            ("square", {"queries": 5000}),
        ]
    assert names("L1") == [
        ("apgd", {"steps": 100, "restarts": 5}),
        ("apgd", {"steps": 100, "loss": "dlr", "over_targets": 5}),
        ("fab", {"steps": 100, "over_targets": 9}),
    ]


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.04), ("L2", 0.3), ("L1", 1.0)])
def test_it_fools_what_each_of_its_members_fools(net: nn.Module, norm: str, eps: float) -> None:
    images = toys.pictures(40)
    labels = toys.read_by(net, images)
    threat = Threat(norm, eps)
    whole = find("autoattack", **SMALL).run(net, images, labels, threat, draws=DRAWS)
    assert threat.allows(images, whole).all()
    misread = fooled(predict(net, whole), labels)
    assert 5 < int(misread.sum()) < 40
    alone = find("apgd", steps=8).run(net, images, labels, threat, draws=DRAWS)
    assert int((fooled(predict(net, alone), labels) & ~misread).sum()) <= 1


def test_with_targets_only_they_count(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    threat = Threat("Linf", 0.3)
    attack = find("autoattack", **SMALL)
    changed = attack.run(net, images, labels, threat, draws=DRAWS, targets=targets)
    assert (predict(net, changed).argmax(1) == targets).all()


def test_two_classes_are_enough(plane: toys.Plane, images: Images, labels: Labels) -> None:
    with torch.no_grad():
        far = plane.margin(images).abs() / plane.weight.norm(p=1)
    eps = float(far.median()) * 1.0001
    attack = find("autoattack", **SMALL)
    changed = attack.run(plane, images, labels, Threat("Linf", eps), draws=DRAWS)
    assert torch.equal(toys.read_by(plane, changed) != labels, far < eps)


@pytest.mark.parametrize("options", [{"steps_each": 0}, {"square_queries": 0}])
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, int]
) -> None:
    with pytest.raises(InvalidOption, match="steps_each >= 1 and square_queries >= 1"):
        find("autoattack", **options).run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)


def noted(seen: list[Draws], fools: torch.Tensor, asks: int, promise: str = "bounded") -> Attack:
    """Makes white what it can fool, and asks so often about each image."""

    def attack(model, images, labels, threat, *, draws, targets=None):  # type: ignore[no-untyped-def]
        seen.append(draws)
        batch = Batch.of(model, images, labels, targets, draws)
        for _ in range(asks):
            batch.logits(images)
        return torch.where(fools[draws.ids][:, None, None, None], torch.ones_like(images), images)

    return Attack("noted", attack, promise, "gradients")


class Bright(nn.Module):
    """Class 1 is white."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.flatten(1).mean(1)
        return torch.stack([torch.full_like(mean, 0.9), mean], dim=1)


def test_each_attack_meets_only_what_still_stands_and_passes_are_counted_for_the_right_image() -> (
    None
):
    images = toys.pictures(6, low=0.3, high=0.6)
    labels = torch.zeros(6, dtype=torch.int64)
    first = torch.tensor([True, False, False, True, False, False])
    second = torch.tensor([False, False, True, False, False, True])
    seen: list[Draws] = []
    parts = [noted(seen, first, 3), noted(seen, second, 10), noted(seen, first & second, 100)]

    def attack(model, images, labels, threat, *, draws, targets=None):  # type: ignore[no-untyped-def]
        return in_turn(parts, model, images, labels, threat, draws=draws, targets=targets)

    whole = Attack("whole", attack, "bounded", "gradients")
    (found,) = whole.sweep(Bright(), images, labels, [Threat("Linf", 1.0)], draws=DRAWS)
    assert torch.equal(fooled(predict(Bright(), found.images), labels), first | second)
    assert [list(draws.ids) for draws in seen] == [[0, 1, 2, 3, 4, 5], [1, 2, 4, 5], [1, 4]]
    assert len({draws.purpose for draws in seen}) == 3
    # And one pass after each attack, to see what it fooled.
    assert found.passes.forward.tolist() == [4, 116, 15, 4, 116, 15]
    assert found.passes.until.tolist() == [4, -1, 15, 4, -1, 15]
    assert torch.equal(found.images[~(first | second)], images[~(first | second)])


def test_a_nearest_image_outside_the_threat_does_not_count() -> None:
    images = toys.pictures(4, low=0.3, high=0.6)
    labels = torch.zeros(4, dtype=torch.int64)
    part = noted([], torch.ones(4, dtype=torch.bool), 1, "nearest")
    found = in_turn(
        [part], Bright(), images, labels, Threat("Linf", 0.1), draws=DRAWS.at(torch.arange(4))
    )
    assert torch.equal(found, images)


def test_what_cannot_work_under_a_threat_is_refused_before_anything_is_done() -> None:
    images = toys.pictures(2)
    labels = torch.zeros(2, dtype=torch.int64)
    for threat in (Threat("L0", 3), Threat("Linf", math.inf)):
        with pytest.raises(InvalidThreat):
            in_turn([find("apgd")], Bright(), images, labels, threat, draws=DRAWS)
