import pytest
import torch
import toys

from unfooled import l1_box
from unfooled.randomness import Draws


def by_bisection(delta: torch.Tensor, images: torch.Tensor, eps: float) -> torch.Tensor:
    """The same, slowly and in float64: the cut is halved in until nothing changes any more."""
    delta, images = delta.double(), images.double()
    room = torch.where(delta > 0, 1 - images, images)

    def cut_by(cut: torch.Tensor) -> torch.Tensor:
        shorter = (delta.abs() - cut[:, None, None, None]).clamp_min(0)
        return torch.minimum(shorter, room)

    low = torch.zeros(len(delta), dtype=torch.float64)
    high = delta.abs().flatten(1).amax(1)
    for _ in range(80):
        middle = (low + high) / 2
        long = cut_by(middle).flatten(1).sum(1) > eps
        low, high = torch.where(long, middle, low), torch.where(long, high, middle)
    fits = cut_by(torch.zeros_like(low)).flatten(1).sum(1) <= eps
    return cut_by(torch.where(fits, 0.0, high)) * delta.sign()


@pytest.mark.parametrize("eps", [0.05, 1.0, 6.0, 30.0])
@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_the_nearest_change_is_found(eps: float, scale: float) -> None:
    images = toys.pictures(40)
    delta = Draws(0, "delta").normal(images) * scale
    found = l1_box.project(delta, images, eps)
    torch.testing.assert_close(
        found.double(), by_bisection(delta, images, eps), rtol=0, atol=5e-6 * max(1.0, eps, scale)
    )
    size = ((images + found).double() - images.double()).abs().flatten(1).sum(1)
    assert float(size.max()) <= eps + 1e-6
    assert 0 <= float((images + found).min()) <= float((images + found).max()) <= 1 + 1e-7


def test_what_the_box_cuts_off_is_spent_elsewhere() -> None:
    images = torch.tensor([0.9, 0.5, 0.5, 0.5]).view(1, 1, 2, 2)
    delta = torch.tensor([1.0, 0.3, -0.2, 0.0]).view(1, 1, 2, 2)
    found = l1_box.project(delta, images, 0.5)
    # The first pixel has room for 0.1 alone; the others need 0.4 together, after a cut of 0.05.
    expected = torch.tensor([0.1, 0.25, -0.15, 0.0]).view(1, 1, 2, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_change_that_is_allowed_stays() -> None:
    images = toys.pictures(5, low=0.3, high=0.7)
    delta = Draws(0, "delta").uniform(images) * 0.01
    torch.testing.assert_close(l1_box.project(delta, images, 1.0), delta)


def test_no_row_depends_on_the_others() -> None:
    images = toys.pictures(30)
    delta = Draws(0, "delta").normal(images)
    together = l1_box.project(delta, images, 2.0)
    alone = [l1_box.project(delta[i : i + 1], images[i : i + 1], 2.0) for i in range(30)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=1e-7)


def test_nothing_is_left_at_eps_0() -> None:
    images = toys.pictures(3)
    found = l1_box.project(Draws(0, "delta").normal(images), images, 0.0)
    assert torch.equal(found, torch.zeros_like(found))


def test_how_colours_lie_in_memory_does_not_matter() -> None:
    images = toys.pictures(12).view(4, 3, 8, 8)
    delta = Draws(0, "delta").normal(images)
    scattered = delta.contiguous(memory_format=torch.channels_last)
    assert torch.equal(l1_box.project(scattered, images, 2.0), l1_box.project(delta, images, 2.0))
