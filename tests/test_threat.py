import math

import pytest
import torch
import toys

from unfooled.errors import InvalidThreat
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.threat import Threat

NORMS = ["Linf", "L2", "L1", "L0"]
EPS = {"Linf": 0.25, "L2": 0.25, "L1": 0.25, "L0": 3.0}


@pytest.mark.parametrize("eps", [-0.1, math.nan, -math.inf])
def test_an_eps_that_is_no_size_is_refused(eps: float) -> None:
    with pytest.raises(InvalidThreat, match=f"eps must be 0 or more.*{eps}"):
        Threat("Linf", eps)


def test_an_unknown_norm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidThreat, match="'L7'; known: Linf, L2, L1, L0"):
        Threat("L7", 0.1)


@pytest.mark.parametrize("norm", NORMS)
def test_an_infinite_eps_is_a_threat_but_has_no_random_point(norm: str, images: Images) -> None:
    threat = Threat(norm, math.inf)
    assert threat.allows(images, 1 - images).all()
    for draw in (threat.random_start, threat.random_edge):
        with pytest.raises(InvalidThreat, match="finite"):
            draw(images, Draws(0))


def test_distance_is_measured_in_float64(images: Images) -> None:
    moved = images + 1e-4
    assert Threat("Linf", 1.0).distance(images, moved).dtype == torch.float64
    exact = (moved.double() - images.double()).flatten(1).norm(dim=1)
    assert torch.equal(Threat("L2", 1.0).distance(images, moved), exact)


def test_allows_draws_the_line_at_eps_and_at_the_range_of_pixels() -> None:
    image = torch.full((1, 1, 2, 2), 0.5)
    threat = Threat("Linf", 0.5)
    assert threat.allows(image, image + 0.5).all()
    assert not threat.allows(image, image + 0.500002).any()
    assert not Threat("Linf", 0.1).allows(image, image + 0.10001).any()
    assert not Threat("Linf", 2.0).allows(image, image + 0.6).any()
    assert not Threat("Linf", 2.0).allows(image, image - 0.6).any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_pixel_that_is_no_number_is_never_allowed(norm: str, bad: float, images: Images) -> None:
    broken = images.clone()
    broken[3, 0, 0, 0] = bad
    allowed = Threat(norm, math.inf).allows(images, broken)
    assert allowed.sum() == len(images) - 1
    assert not allowed[3]


@pytest.mark.parametrize("norm", NORMS)
def test_what_is_projected_is_allowed(norm: str) -> None:
    images = toys.pictures(50)
    wild = toys.pictures(50, low=-3, high=4, purpose="wild")
    threat = Threat(norm, EPS[norm])
    projected = threat.project(images, wild)
    assert threat.allows(images, projected).all()
    torch.testing.assert_close(threat.project(images, projected), projected)


@pytest.mark.parametrize("norm", NORMS)
def test_random_points_are_allowed_and_differ_by_image(norm: str, images: Images) -> None:
    threat = Threat(norm, EPS[norm])
    start, edge = threat.random_start(images, Draws(0)), threat.random_edge(images, Draws(0))
    assert threat.allows(images, start).all()
    assert threat.allows(images, edge).all()
    assert threat.distance(images, edge).sub(EPS[norm]).abs().max() < 1e-6
    assert len((edge - images).flatten(1).sign().unique(dim=0)) == len(images)


@pytest.mark.parametrize("norm", NORMS)
def test_eps_0_leaves_only_the_image_itself(norm: str, images: Images) -> None:
    threat = Threat(norm, 0.0)
    assert torch.equal(threat.project(images, 1 - images), images)
    assert torch.equal(threat.random_start(images, Draws(0)), images)


@pytest.mark.parametrize("norm", ["L2", "L1"])
def test_an_image_large_as_a_photograph_is_projected_inside_too(norm: str) -> None:
    images = Draws(0).uniform(torch.empty(2, 3, 128, 128)) * 0.2 + 0.4
    for eps in (1.0, 12.0, 50.0):
        wild = images + Draws(1).normal(images) * 0.1
        threat = Threat(norm, eps)
        assert threat.allows(images, threat.project(images, wild)).all()
        assert threat.allows(images, threat.random_edge(images, Draws(2))).all()


def test_what_a_file_of_8_bits_holds_is_the_nearest_level_within_the_threat() -> None:
    image = torch.tensor([0.1, 0.5, 0.9]).view(1, 1, 1, 3)
    changed = image + torch.tensor([0.03, -0.03, 0.03]).view(1, 1, 1, 3)
    threat = Threat("Linf", 0.03)
    rounded = threat.as_8bit(image, changed)
    levels = (rounded * 255).flatten()
    torch.testing.assert_close(levels, levels.round())
    assert threat.allows(image, rounded).all()
    # 0.13 and 0.93 lie between two levels each, the upper of which is out of reach.
    assert levels.round().tolist() == [33, 120, 237]
    free = Threat("L2", 1.0).as_8bit(image, changed)
    assert (free * 255).round().flatten().tolist() == [33, 120, 237]


def test_rounding_to_8_bits_stays_within_reach_for_every_level() -> None:
    images = (torch.arange(256).float() / 255).view(1, 1, 16, 16)
    for eps in (0.0, 1 / 255, 8 / 255, 0.1, 0.3):
        threat = Threat("Linf", eps)
        for changed in (threat.project(images, images + 1), threat.project(images, images - 1)):
            assert threat.allows(images, threat.as_8bit(images, changed)).all()
            moved = (threat.as_8bit(images, changed) - changed).abs().max()
            assert float(moved) <= 1 / 255 + 1e-6
    assert torch.equal(Threat("Linf", math.inf).as_8bit(images, images), images)


def test_a_threat_is_written_as_a_report_prints_it() -> None:
    assert str(Threat("Linf", 0.3)) == "Linf 0.3"


def test_less_than_a_pixel_is_refused() -> None:
    assert Threat("L0", 0).eps == 0
    with pytest.raises(InvalidThreat, match="counts changed pixels: eps must be 0, or 1 or more"):
        Threat("L0", 0.3)
