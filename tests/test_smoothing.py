import math

import numpy as np
import pytest
import torch
import toys
from scipy import stats
from torch import Tensor, nn

from unfooled.errors import InvalidInput, InvalidModel, InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.smoothing import ABSTAINS, Smoothed, certify, largest, lower

DRAWS = Draws(0, "test")


class Constant(nn.Module):
    """Always one class, or what a function makes of its logits."""

    def __init__(self, logits: tuple[float, ...]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images: Images) -> Tensor:
        return self.logits.expand(len(images), -1)


def true_radii(plane: toys.Plane, images: Images) -> np.ndarray:
    """How far each image lies from the plane: what smoothing certifies if it could ask for ever."""
    return (plane.margin(images).abs() / plane.weight.norm()).detach().numpy()


def test_a_linear_model_is_certified_up_to_its_plane(plane: toys.Plane, images: Images) -> None:
    labels = toys.read_by(plane, images)
    truth = true_radii(plane, images)
    sigma = 0.2
    found = certify(plane, images, labels, sigma, DRAWS, n=4000)
    # The bound is met with a probability of 0.999 for each image, and the draws are always these.
    assert (found.radii <= truth + 1e-9).all()
    # What can be counted well among 4,000 is nearly reached.
    well = (truth > 0.5 * sigma) & (truth < 2 * sigma)
    assert well.sum() >= 5
    assert (found.radii[well] > truth[well] - 0.2 * sigma).all()
    assert (found.read_as[~found.abstained] == labels.numpy()[~found.abstained]).all()


def test_an_image_on_the_plane_gets_no_answer(plane: toys.Plane, images: Images) -> None:
    away = plane.margin(images) / plane.weight.norm().square()
    on = images - away.detach()[:, None, None, None] * plane.weight.view(1, 1, 8, 8)
    found = certify(plane, on.clamp(0, 1), toys.read_by(plane, on), 0.2, DRAWS)
    assert found.abstained.mean() > 0.9
    assert (found.radii[found.abstained] == 0).all()


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_a_class_that_always_comes_up_has_the_radius_on_paper(images: Images, n: int) -> None:
    labels = torch.ones(len(images), dtype=torch.int64)
    found = certify(Constant((0.0, 1.0)), images, labels, 0.5, DRAWS, n0=3, n=n)
    assert found.radii == pytest.approx(0.5 * stats.norm.ppf(0.001 ** (1 / n)).clip(0))
    assert (found.radii == largest(0.5, n, 0.001)).all() or n == 10
    assert found.abstained.all() == (0.001 ** (1 / n) <= 0.5)


def test_more_draws_make_the_radius_larger_and_a_smaller_alpha_smaller() -> None:
    by_n = [largest(0.25, n, 0.001) for n in (9, 20, 100, 1000, 10_000)]
    assert by_n == sorted(by_n)
    assert by_n[0] == 0
    assert by_n[1] > 0
    by_alpha = [largest(0.25, 100, alpha) for alpha in (1e-6, 1e-3, 0.1)]
    assert by_alpha == sorted(by_alpha)


def test_the_bound_is_clopper_and_pearsons() -> None:
    hits = np.array([0, 1, 50, 99, 100])
    found = lower(hits, 100, 0.001)
    paper = stats.beta.ppf(0.001, hits, 100 - hits + 1)
    assert found == pytest.approx(np.nan_to_num(paper))
    assert found[0] == 0


def test_nothing_depends_on_the_batch(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    ids = torch.arange(100, 100 + len(images))
    whole = certify(net, images, labels, 0.3, DRAWS.at(ids), n0=20, n=80)
    some = torch.tensor([17, 3, 4])
    part = certify(net, images[some], labels[some], 0.3, DRAWS.at(ids[some]), n0=20, n=80)
    assert np.array_equal(part.radii, whole.radii[some])
    assert np.array_equal(part.read_as, whole.read_as[some])


def test_the_noise_belongs_to_the_id(images: Images) -> None:
    """The same image under one id is answered in one way, and under several ids in several."""
    labels = torch.zeros(len(images), dtype=torch.int64)
    ids = torch.zeros(len(images), dtype=torch.int64)
    plane = toys.plane()
    sigma = float(true_radii(plane, images[:1])[0])
    again = images[:1].expand_as(images)
    same = certify(plane, again, labels, sigma, DRAWS.at(ids), n=200)
    assert len(set(same.radii)) == 1
    own = certify(plane, again, labels, sigma, DRAWS, n=200)
    assert len(set(own.radii)) > 1


def test_wrong_and_unsaid_answers_do_not_stand() -> None:
    found = Smoothed(
        np.array([0, 1, 2]), np.array([0, 2, ABSTAINS]), np.array([0.5, 0.7, 0.0]), 1, 1, 1, 0.1
    )
    assert found.stands(0).tolist() == [True, False, False]
    assert found.stands(0.5).tolist() == [False, False, False]
    assert found.abstained.tolist() == [False, False, True]


class Undefined(nn.Module):
    """Not a number for images that are dark on the whole."""

    def forward(self, images: Images) -> Logits:
        light = images.flatten(1).mean(1)
        return torch.stack([light.sub(0.5).sqrt(), torch.ones_like(light)], dim=1)


def test_not_a_number_is_no_class(images: Images, labels: Labels) -> None:
    shown = torch.cat([images[:2] * 0.01, images[2:4] * 0.01 + 0.98])
    found = certify(Undefined(), shown, labels[:4], 0.01, DRAWS, n0=5, n=50)
    assert found.abstained.tolist() == [True, True, False, False]


def test_a_network_without_a_finite_answer_is_refused(images: Images, labels: Labels) -> None:
    with pytest.raises(InvalidModel, match="NaN or infinite"):
        certify(Constant((math.nan, 1.0)), images, labels, 0.5, DRAWS, n0=5, n=50)


def test_the_model_is_left_as_it_was(net: nn.Module, images: Images) -> None:
    net.train()
    state = torch.get_rng_state()
    certify(net, images, toys.read_by(net, images), 0.3, DRAWS, n0=5, n=5)
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"sigma": math.nan}, "sigma must be above 0"),
        ({"sigma": math.inf}, "sigma must be above 0"),
        ({"n0": 0}, "at least 1"),
        ({"n": 0}, "at least 1"),
        ({"n": 2**24}, "together at most"),
        ({"alpha": 0.0}, "alpha must be"),
        ({"alpha": 0.5}, "alpha must be"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(
    plane: toys.Plane, images: Images, labels: Labels, given: dict[str, float], said: str
) -> None:
    whole = {"sigma": 0.5, "draws": DRAWS, **given}
    with pytest.raises(InvalidOption, match=said):
        certify(plane, images, labels, **whole)


def test_bad_images_labels_and_models_are_refused(
    plane: toys.Plane, images: Images, labels: Labels, unchecked: None
) -> None:
    with pytest.raises(InvalidInput, match=r"\[0, 1\]"):
        certify(plane, images * 3, labels, 0.5, DRAWS)
    with pytest.raises(InvalidInput):
        certify(plane, images, labels + 5, 0.5, DRAWS)
    with pytest.raises(InvalidModel):
        certify(nn.Flatten(0), images, labels, 0.5, DRAWS)
