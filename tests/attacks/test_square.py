import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.attacks import square as home
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)


@pytest.mark.parametrize(("norm", "dual", "near"), [("Linf", 1, 0.95), ("L2", 2, 0.6)])
def test_a_plane_falls_where_eps_exceeds_margin_over_dual_norm(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int, near: float
) -> None:
    with torch.no_grad():
        needed = plane.margin(images).abs() / plane.weight.norm(p=dual)
    eps = float(needed.median())
    tried = find("square", queries=400)
    changed = tried.run(plane, images, labels, Threat(norm, eps), draws=DRAWS)
    falls = toys.read_by(plane, changed) != labels
    assert falls[needed < near * eps].all()
    assert not falls[needed > eps * (1 + 1e-4)].any()
    assert 0 < int(falls.sum()) < len(images)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("queries", [1, 2, 70])
def test_no_query_is_made_beyond_the_budget(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, queries: int
) -> None:
    threat = Threat(norm, 0.001)  # too small to fool most, which then use all of it
    tried = find("square", queries=queries)
    passes = tried.sweep(plane, images, labels, [threat], draws=DRAWS)[0].passes
    assert int(passes.forward.max()) == queries
    assert (passes.forward[passes.until < 0] == queries).all()
    assert int(passes.backward.max()) == 0


@pytest.mark.parametrize("targeted", [False, True])
def test_an_image_asks_nothing_more_once_it_is_fooled(
    net: nn.Module, images: Images, targeted: bool
) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3 if targeted else None
    tried = find("square", queries=300)
    threats = [Threat("Linf", 0.15)]
    found = tried.sweep(net, images, labels, threats, draws=DRAWS, targets=targets)[0]
    done = fooled(predict(net, found.images), labels, targets)
    assert int(done.sum()) > 5
    assert torch.equal(found.passes.forward[done], found.passes.until[done])
    assert (found.passes.until[~done] == -1).all()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 5, 11), (2, 1, 3), (1, 1, 1)])
def test_images_of_any_shape_stay_inside_the_threat(norm: str, shape: tuple[int, int, int]) -> None:
    images = Draws(0, "any").uniform(torch.empty(6, *shape))
    weight = Draws(0, "weight").normal(torch.empty(1, math.prod(shape)))[0]
    model = toys.Plane(weight, 0.0)
    threat = Threat(norm, 0.05)
    labels = toys.read_by(model, images)
    changed = find("square", queries=60).run(model, images, labels, threat, draws=DRAWS)
    assert threat.allows(images, changed).all()
    assert not torch.equal(changed, images)


def test_under_linf_every_pixel_ends_at_the_border_of_the_ball(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    changed = find("square", queries=50).run(
        plane, images, labels, Threat("Linf", 0.01), draws=DRAWS
    )
    moved = (changed - images).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.01), rtol=0, atol=1e-6)


def test_under_l2_the_whole_of_eps_is_spent(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threat = Threat("L2", 0.01)
    changed = find("square", queries=60).run(plane, images, labels, threat, draws=DRAWS)
    assert (threat.distance(images, changed) > 0.9999 * 0.01).all()


def test_nothing_is_kept_that_is_worse_than_the_start(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threat = Threat("L2", 0.01)
    few, many = (
        find("square", queries=q).run(plane, images, labels, threat, draws=DRAWS) for q in (1, 100)
    )
    with torch.no_grad():
        assert (plane.margin(many).abs() <= plane.margin(few).abs() + 1e-6).all()


def test_no_query_is_spent_on_an_image_that_was_asked_about_just_before(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    asked: list[torch.Tensor] = []

    class Listening(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            asked.append(images.clone())
            logits: torch.Tensor = plane(images)
            return logits * 0 + logits.new_tensor([0.0, 1.0])  # nothing is ever better

    start = torch.ones(len(images), dtype=torch.int64)
    find("square", queries=80).run(Listening(), images, start, Threat("Linf", 0.1), draws=DRAWS)
    # Without the looks at a few images before, at all of them as they are, and at the end.
    best, *others = [some for some in asked if len(some) == len(images)][1:-1]
    assert len(others) == 79
    assert all((later != best).flatten(1).any(1).all() for later in others)


def test_windows_shrink_as_published() -> None:
    steps = (0, 10, 11, 50, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)
    shares = [home._share(0.8, step, 10000) for step in steps]
    halvings = (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert shares == [0.8 / 2**halving for halving in halvings]
    assert home._share(0.8, 801, 1000) == 0.8 / 512


def test_a_mound_is_a_hill_above_a_pit_of_length_1() -> None:
    mound = home._mound(7, torch.empty(1, 1, 8, 8, dtype=torch.float64))
    assert float(mound.norm()) == pytest.approx(1)
    assert (mound[:3] > 0).all()
    assert (mound[3:] < 0).all()
    assert int(mound.argmax()) // 7 == 1
    assert int(mound.argmin()) == 5 * 7 + 3


@pytest.mark.parametrize("options", [{"queries": 0}, {"p_init": 0.0}, {"p_init": 1.5}])
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="queries >= 1 and p_init in"):
        find("square", **options).run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)
