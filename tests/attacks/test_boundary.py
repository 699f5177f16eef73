import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption, InvalidThreat
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)
THREAT = Threat("L2", math.inf)


def test_the_nearest_point_of_a_plane_is_approached(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    found = find("boundary", queries=1000).run(plane, images, labels, THREAT, draws=DRAWS)
    assert (toys.read_by(plane, found) != labels).all()
    with torch.no_grad():
        nearest = plane.margin(images).abs() / plane.weight.norm()
    ratio = THREAT.distance(images, found) / nearest
    assert (ratio >= 1 - 1e-4).all()
    assert (ratio < 1.2).all()


@pytest.mark.parametrize("queries", [1, 2, 7, 101])
def test_a_budget_is_used_to_the_last_query(
    plane: toys.Plane, images: Images, labels: Labels, queries: int
) -> None:
    tried = find("boundary", queries=queries)
    one = tried.sweep(plane, images, labels, [THREAT], draws=DRAWS)[0]
    assert (one.passes.forward == queries).all()
    assert (one.passes.backward == 0).all()


def test_an_image_never_moves_away(plane: toys.Plane, images: Images, labels: Labels) -> None:
    # The same budget for the start, and so the same walk.
    short, long = (
        find("boundary", queries=queries).run(plane, images, labels, THREAT, draws=DRAWS)
        for queries in (100, 149)
    )
    nearer = THREAT.distance(images, long) <= THREAT.distance(images, short) * (1 + 1e-5)
    assert nearer.all()


def test_targets_are_reached(net: nn.Module, images: Images) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    found = find("boundary", queries=300).run(
        net, images, labels, THREAT, draws=DRAWS, targets=targets
    )
    reached = predict(net, found).argmax(1) == targets
    assert reached.sum() >= 20
    assert torch.equal(found[~reached], images[~reached])


@pytest.mark.parametrize(
    "options",
    [
        {"queries": 0},
        {"tries": 0},
        {"source_step": 0.0},
        {"source_step": 1.0},
        {"spherical_step": 0.0},
    ],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="boundary needs queries >= 1"):
        find("boundary", **options).run(plane, images, labels, THREAT, draws=DRAWS)


def test_it_measures_the_euclidean_distance_alone(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    with pytest.raises(InvalidThreat, match="boundary does not attack under Linf; it does under"):
        find("boundary").run(plane, images, labels, Threat("Linf", math.inf), draws=DRAWS)
