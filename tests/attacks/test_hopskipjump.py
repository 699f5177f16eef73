import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.attacks import hopskipjump as home
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)


class Constant(nn.Module):
    """Reads everything as the first class."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([1.0, 0.0]).expand(len(images), 2)


@pytest.mark.parametrize(("norm", "dual"), [("L2", 2), ("Linf", 1)])
def test_the_nearest_point_of_a_plane_is_reached(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    threat = Threat(norm, math.inf)
    found = find("hopskipjump", queries=3000).run(plane, images, labels, threat, draws=DRAWS)
    assert (toys.read_by(plane, found) != labels).all()
    with torch.no_grad():
        nearest = plane.margin(images).abs() / plane.weight.norm(p=dual)
    ratio = threat.distance(images, found) / nearest
    assert (ratio >= 1 - 1e-4).all()
    assert float(ratio.median()) < 1.05
    assert (ratio < 1.1).all()


@pytest.mark.parametrize("queries", [1, 2, 7, 100, 333, 1000])
def test_a_budget_is_used_to_the_last_query(
    plane: toys.Plane, images: Images, labels: Labels, queries: int
) -> None:
    tried = find("hopskipjump", queries=queries)
    one = tried.sweep(plane, images, labels, [Threat("L2", math.inf)], draws=DRAWS)[0]
    assert (one.passes.forward == queries).all()
    assert (one.passes.backward == 0).all()


def test_more_queries_come_nearer(plane: toys.Plane, images: Images, labels: Labels) -> None:
    threat = Threat("L2", math.inf)
    few, many = (
        find("hopskipjump", queries=queries).run(plane, images, labels, threat, draws=DRAWS)
        for queries in (200, 1000)
    )
    assert (threat.distance(images, many) < threat.distance(images, few)).float().mean() > 0.9


def test_targets_are_reached_and_nearer_than_any_random_start(
    net: nn.Module, images: Images
) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    threat = Threat("L2", math.inf)
    found = find("hopskipjump", queries=500).run(
        net, images, labels, threat, draws=DRAWS, targets=targets
    )
    reached = predict(net, found).argmax(1) == targets
    assert reached.sum() >= 20
    assert torch.equal(found[~reached], images[~reached])
    assert float(threat.distance(images, found).max()) < 2.5


def test_a_model_that_is_never_wrong_leaves_the_images_and_most_of_the_budget(
    images: Images,
) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    tried = find("hopskipjump", queries=60, tries=40)
    one = tried.sweep(Constant(), images, labels, [Threat("L2", math.inf)], draws=DRAWS)[0]
    assert torch.equal(one.images, images)
    assert (one.passes.forward == 40).all()


def test_samples_beyond_what_is_in_hand_at_once_change_nothing(
    plane: toys.Plane, images: Images, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of rows only; the blocks of samples are as large as the images here."""
    threat = Threat("L2", math.inf)
    tried = find("hopskipjump", queries=200)
    usual = tried.run(plane, images, labels, threat, draws=DRAWS)
    monkeypatch.setattr(home, "_AT_ONCE", 256)
    torch.testing.assert_close(tried.run(plane, images, labels, threat, draws=DRAWS), usual)


@pytest.mark.parametrize("options", [{"queries": 0}, {"initial_samples": 0}, {"tries": 0}])
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, int]
) -> None:
    with pytest.raises(InvalidOption, match="hopskipjump needs queries >= 1"):
        find("hopskipjump", **options).run(
            plane, images, labels, Threat("L2", math.inf), draws=DRAWS
        )


def test_blocks_of_samples_in_which_some_rows_have_none_left_are_no_error() -> None:
    net = toys.net().eval()
    images = toys.pictures(80)
    labels = toys.read_by(net, images)
    found = find("hopskipjump", queries=557)
    changed = found.run(net, images, labels, Threat("L2", math.inf), draws=Draws(0))
    assert (toys.read_by(net, changed) != labels).all()
