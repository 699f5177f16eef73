import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import Attacked, find
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)


def needed(plane: toys.Plane, images: Images, labels: Labels, norm: str) -> torch.Tensor:
    """The distance of each image from the plane, inside the box."""
    with torch.no_grad():
        margin = plane.margin(images).abs()
        weight = plane.weight.detach()
        if norm != "L1":
            return margin / weight.norm(p=1 if norm == "Linf" else 2)
        # The pixels of the largest weights first, each as far as the box allows.
        up = (labels[:, None] == 0) == (weight > 0)
        room = torch.where(up, 1 - images.flatten(1), images.flatten(1))
        order = weight.abs().argsort(descending=True)
        room, steep = room[:, order], weight.abs()[order]
        gained = (room * steep).cumsum(1)
        whole = (gained < margin[:, None]).sum(1)
        before = torch.cat([torch.zeros(len(images), 1), gained], dim=1)
        spent = torch.cat([torch.zeros(len(images), 1), room.cumsum(1)], dim=1)
        at = whole[:, None]
        rest = (margin[:, None] - before.gather(1, at)) / steep[whole][:, None]
        return (spent.gather(1, at) + rest)[:, 0]


@pytest.mark.parametrize(("norm", "reached"), [("Linf", 0.9999), ("L2", 0.999), ("L1", 0.98)])
def test_every_image_within_eps_of_a_plane_falls_and_no_other(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, reached: float
) -> None:
    far = needed(plane, images, labels, norm)
    eps = float(far.median()) * 1.0001
    changed = find("apgd").run(plane, images, labels, Threat(norm, eps), draws=DRAWS)
    falls = toys.read_by(plane, changed) != labels
    assert falls[far < reached * eps].all()
    assert not falls[far > eps * (1 + 1e-4)].any()
    assert 0 < int(falls.sum()) < len(images)


@pytest.mark.parametrize("options", [{"loss": "dlr"}, {"loss": "margin"}, {"over_targets": 9}])
def test_two_classes_are_enough_for_every_loss(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, object]
) -> None:
    far = needed(plane, images, labels, "L2")
    eps = float(far.median()) * 1.0001
    changed = find("apgd", **options).run(plane, images, labels, Threat("L2", eps), draws=DRAWS)
    assert torch.equal(toys.read_by(plane, changed) != labels, far < eps)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("steps", [1, 5, 12])
def test_each_image_that_stands_takes_exactly_the_steps(
    net: nn.Module, images: Images, norm: str, steps: int
) -> None:
    labels = toys.read_by(net, images)
    eps = {"Linf": 1e-4, "L2": 1e-3, "L1": 1e-3}[norm]
    attack = find("apgd", steps=steps, restarts=2)
    (found,) = attack.sweep(net, images, labels, [Threat(norm, eps)], draws=DRAWS)
    assert (found.passes.until == -1).all()
    assert (found.passes.backward == 2 * steps).all()
    assert (found.passes.forward == 2 * steps).all()


def test_over_targets_takes_the_steps_for_each_wrong_class_and_one_pass_to_rank_them(
    net: nn.Module, images: Images
) -> None:
    labels = toys.read_by(net, images)
    attack = find("apgd", steps=4, over_targets=9)  # there are two wrong classes
    (found,) = attack.sweep(net, images, labels, [Threat("Linf", 1e-4)], draws=DRAWS)
    assert (found.passes.backward == 8).all()
    assert (found.passes.forward == 9).all()


def attacked(net: nn.Module, images: Images, labels: Labels, **options: object) -> Attacked:
    attack = find("apgd", steps=20, **options)
    return attack.sweep(net, images, labels, [Threat("Linf", 0.06)], draws=DRAWS)[0]


@pytest.mark.parametrize("over_targets", [0, 2])
def test_an_image_leaves_as_soon_as_it_is_misread_at_all(
    net: nn.Module, images: Images, over_targets: int
) -> None:
    labels = toys.read_by(net, images)
    found = attacked(net, images, labels, over_targets=over_targets)
    misread = fooled(predict(net, found.images), labels)
    assert int(misread.sum()) > 5
    assert torch.equal(found.passes.forward[misread], found.passes.until[misread])


def test_the_likeliest_wrong_class_is_aimed_at_first(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels = logits.argmax(1)
    runner_up = logits.scatter(1, labels[:, None], -math.inf).argmax(1)
    once = attacked(net, images, labels, over_targets=1)
    misread = fooled(predict(net, once.images), labels)
    assert misread.any()
    assert torch.equal(predict(net, once.images).argmax(1)[misread], runner_up[misread])
    both = attacked(net, images, labels, over_targets=2)
    assert torch.equal(both.images[misread], once.images[misread])


def test_where_it_fails_the_highest_loss_comes_back(plane: toys.Plane, images: Images) -> None:
    labels = toys.read_by(plane, images)
    threat = Threat("L2", 0.01)  # too small to fool
    changed = find("apgd", restarts=2).run(plane, images, labels, threat, draws=DRAWS)
    with torch.no_grad():
        moved = (plane.margin(changed) - plane.margin(images)).abs()
    still = toys.read_by(plane, changed) == labels
    assert (moved[still] >= 0.999 * 0.01 * plane.weight.detach().norm()).all()


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("options", [{}, {"over_targets": 2, "restarts": 2}])
def test_no_image_depends_on_the_others(net: nn.Module, norm: str, options: dict[str, int]) -> None:
    # In float64: in float32 a network rounds otherwise in another batch, and steps enlarge that.
    net = net.double()
    images = toys.pictures(20).double()
    labels = toys.read_by(net, images)
    threat = Threat(norm, {"Linf": 0.05, "L2": 0.3, "L1": 1.5}[norm])
    ids = torch.arange(20)
    attack = find("apgd", steps=12, **options)
    together = attack.run(net, images, labels, threat, draws=DRAWS.at(ids))
    order = ids.flip(0)
    turned = attack.run(net, images[order], labels[order], threat, draws=DRAWS.at(order))
    torch.testing.assert_close(turned, together[order], rtol=0, atol=1e-9)
    for part in ids.split(7):
        alone = attack.run(net, images[part], labels[part], threat, draws=DRAWS.at(part))
        torch.testing.assert_close(alone, together[part], rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_stays_inside_the_threat(net: nn.Module, norm: str, dtype: torch.dtype) -> None:
    images = toys.pictures(30).to(dtype)
    net = net.to(dtype)
    labels = toys.read_by(net, images)
    threat = Threat(norm, {"Linf": 0.05, "L2": 0.4, "L1": 2.0}[norm])
    changed = find("apgd", steps=15).run(net, images, labels, threat, draws=DRAWS)
    assert changed.dtype == dtype
    assert threat.allows(images, changed).all()


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_it_is_no_weaker_than_pgd(net: nn.Module, norm: str) -> None:
    images = toys.pictures(100)
    labels = toys.read_by(net, images)
    threat = Threat(norm, {"Linf": 0.04, "L2": 0.25, "L1": 1.0}[norm])
    misread = {
        name: fooled(
            predict(net, find(name, steps=40).run(net, images, labels, threat, draws=DRAWS)), labels
        )
        for name in ("pgd", "apgd")
    }
    assert 10 < int(misread["pgd"].sum()) < 95
    assert not (misread["pgd"] & ~misread["apgd"]).any()


def test_with_targets_only_they_count(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    threat = Threat("Linf", 0.3)
    for options in ({}, {"loss": "dlr"}, {"over_targets": 2}):
        attack = find("apgd", **options)
        changed = attack.run(net, images, labels, threat, draws=DRAWS, targets=targets)
        assert (predict(net, changed).argmax(1) == targets).all()


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"restarts": 0},
        {"over_targets": -1},
        {"loss": "hinge"},
        {"momentum": 0.0},
        {"momentum": 1.5},
        {"rho": -0.1},
        {"rho": math.nan},
    ],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="apgd needs steps >= 1"):
        find("apgd", **options).run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_colours_are_attacked_alike(norm: str) -> None:
    images = toys.pictures(24, low=0.3, high=0.7).view(8, 3, 8, 8)
    plane = toys.Plane(Draws(0, "plane").normal(torch.empty(1, 192))[0], 0.0)
    with torch.no_grad():
        plane.offset -= plane.margin(images).mean()
    labels = toys.read_by(plane, images)
    far = needed(plane, images, labels, norm)
    eps = float(far.median()) * 1.0001
    changed = find("apgd").run(plane, images, labels, Threat(norm, eps), draws=DRAWS)
    falls = toys.read_by(plane, changed) != labels
    assert falls[far < 0.98 * eps].all()
    assert not falls[far > eps * (1 + 1e-4)].any()
