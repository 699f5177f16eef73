import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled import peer
from unfooled.comparing import Compared, compare, reasons
from unfooled.errors import InvalidInput, InvalidThreat
from unfooled.peer import Peer, Task, Way
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

THREAT = Threat("Linf", 0.1)
Change = Callable[[nn.Module, Tensor, Tensor], Tensor]


def library(change: Change, **given: object) -> Peer:
    """A library that makes this of images and labels."""

    def prepare(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
        return lambda images, labels: [change(model, images, labels)]

    return Peer(**{"name": "made-up", "prepare": prepare, "version": "1", "install": "", **given})


def against(plane: toys.Plane, images: Images, labels: Labels, size: float) -> Images:
    """Each image moved so far towards the other side."""
    way = plane.weight.sign().view(1, *images.shape[1:]) * (1 - 2 * labels)[:, None, None, None]
    return images + size * way


def tried(plane: toys.Plane, images: Images, labels: Labels, *peers: Peer) -> list[Compared]:
    return compare(plane, images, labels, THREAT, attack="pgd", budget=5, peers=peers)


def test_a_library_that_does_nothing_fools_nothing(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    (found,) = tried(plane, images, labels, library(lambda _, x, __: x))
    assert found.facts is not None
    assert found.says == found.facts.robust.mean() == 1
    assert reasons(found, found, THREAT) == []


def test_images_outside_count_as_not_fooled(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    far = library(lambda _, x, y: against(plane, x, y, 0.3))
    inside = library(lambda _, x, y: against(plane, x, y, 0.1))
    found, ours = tried(plane, images, labels, far, inside)
    assert found.facts is not None
    assert ours.facts is not None
    assert found.says < 0.1
    assert found.facts.robust.all()
    assert found.farthest == pytest.approx(0.3)
    said = " ".join(reasons(found, ours, THREAT))
    assert "24 images lie outside Linf 0.1 or [0, 1], the farthest at 0.3" in said
    stronger = int((~ours.facts.robust).sum())
    assert f"{stronger} images stand that ours fools" in said


def test_rounding_is_allowed_and_told(plane: toys.Plane, images: Images, labels: Labels) -> None:
    found, _ = tried(
        plane,
        images,
        labels,
        library(lambda _, x, __: x + (THREAT.eps + 2e-7)),
        library(lambda _, x, __: x),
    )
    assert found.facts is not None
    assert found.facts.inside.all()
    assert any("float rounding" in one for one in reasons(found, found, THREAT))


def test_a_library_that_returns_the_last_step_is_told_what_it_lost(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    def wandering(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        for size in (0.05, 0.1, 0.0):
            moved = against(plane, x, y, size)
            model(moved)
        return moved

    (found,) = tried(plane, images, labels, library(wandering))
    reached = toys.read_by(plane, against(plane, images, labels, 0.1)) != labels
    assert found.lost == int(reached.sum()) > 0
    assert any("not the best" in one for one in reasons(found, found, THREAT))


def raising(_: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    raise ValueError("no luck\nand a second line")


def leaving(_: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (raising, "ValueError: no luck"),
        (leaving, "SystemExit: 3"),
        (lambda _, x, y: x * math.nan, "NaN pixels"),
        (lambda _, x, y: x[1:], "it returned [23, 1, 8, 8]"),
        (lambda _, x, y: None, "AttributeError"),
    ],
)
def test_a_library_that_fails_is_told_and_the_others_go_on(
    plane: toys.Plane, images: Images, labels: Labels, change: Change, said: str
) -> None:
    found, other = tried(plane, images, labels, library(change), library(lambda _, x, __: x))
    assert found.facts is None
    assert said in found.missing
    assert "second line" not in found.missing
    assert reasons(found, other, THREAT) == []
    assert other.facts is not None


def test_an_absent_library_is_told_with_what_brings_it(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    absent = library(raising, version=None, install="pip install made-up")
    (found,) = tried(plane, images, labels, absent)
    assert found.missing == "not installed; pip install made-up brings it"


def test_ours_is_a_peer_too(plane: toys.Plane, images: Images, labels: Labels) -> None:
    (found,) = tried(plane, images, labels, peer.find("unfooled"))
    assert found.missing == ""
    assert found.facts is not None
    assert found.says == found.facts.robust.mean() < 1


def test_what_the_user_has_is_left_as_it_was(
    plane: toys.Plane, images: Images, labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    def noisy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        print("a bar of progress")
        np.random.rand(3)
        return x + torch.rand(x.shape).mul(0.01)

    plane.train()
    state, numbers = torch.get_rng_state(), np.random.get_state()[1]
    first, second = tried(plane, images, labels, library(noisy), library(noisy))
    assert first.facts is not None
    assert second.facts is not None
    assert np.array_equal(first.facts.distance, second.facts.distance)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numbers)
    assert plane.training
    assert all(p.requires_grad for p in plane.parameters())
    assert capsys.readouterr().out == ""


def test_images_that_are_misread_from_the_start_are_told(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    labels[:5] = 1 - labels[:5]
    (found,) = tried(plane, images, labels, library(lambda _, x, __: x))
    assert "5 images are misread without attack" in reasons(found, found, THREAT)[0]


def test_a_budget_of_nothing_and_an_endless_eps_are_refused(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    given = {"attack": "pgd", "peers": []}
    with pytest.raises(InvalidInput, match="at least 1 step"):
        compare(plane, images, labels, THREAT, budget=0, **given)
    with pytest.raises(InvalidInput, match="eps above 0"):
        compare(plane, images, labels, Threat("Linf", 0), budget=3, **given)
    with pytest.raises(InvalidThreat, match="finite eps"):
        compare(plane, images, labels, Threat("Linf", math.inf), budget=3, **given)


def test_what_is_known_of_a_library_is_told(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    told = {"alone": {"pgd": "3 steps"}, "known": {("pgd", "Linf"): "it is shy"}}
    (found,) = tried(plane, images, labels, library(lambda _, x, __: x, **told))
    assert reasons(found, found, THREAT) == ["it is shy", "left alone it would take 3 steps"]
