import math

import pytest
import torch
import toys

from unfooled.ascent import Halving, Sparse
from unfooled.randomness import Draws
from unfooled.threat import Threat

LINF = Halving(Threat("Linf", 0.1), 100, 0.75, 0.75)


def test_checkpoints_are_those_of_the_paper() -> None:
    checks = LINF.checkpoints()
    assert list(checks) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checks.values()) == [22, 19, 16, 13, 10, 7, 6, 6]


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 33])
def test_few_steps_have_checkpoints_too(steps: int) -> None:
    checks = Halving(Threat("L2", 1.0), steps, 0.75, 0.75).checkpoints()
    assert all(0 < step <= steps and since > 0 for step, since in checks.items())
    assert sum(checks.values()) == max(checks)
    assert set(Sparse(Threat("L1", 1.0), steps).checkpoints()) <= set(range(1, steps))


def test_only_the_image_whose_loss_rises_too_rarely_slows_down_and_goes_back() -> None:
    images = toys.pictures(2)
    trail = LINF.begin(images.clone(), images)
    gradients = [Draws(0, f"gradient {step}").normal(images) for step in range(4)]
    points = [images + 0.01 * step for step in range(4)]
    # The first image rises always; the second falls after its first rise.
    for step, losses in enumerate([[0.0, 0.0], [1.0, 5.0], [2.0, 4.0], [3.0, 3.0]]):
        trail = trail.moved(points[step].clone())
        trail.note(torch.tensor(losses), gradients[step])
    gradient = gradients[3].clone()
    LINF.check(trail, gradient, images, 3)
    torch.testing.assert_close(trail.sizes, torch.tensor([0.2, 0.1]))
    assert torch.equal(trail.current, torch.stack([points[3][0], points[1][1]]))
    assert torch.equal(gradient, torch.stack([gradients[3][0], gradients[1][1]]))


def test_an_image_whose_best_stays_slows_down_but_not_twice_in_a_row() -> None:
    images = toys.pictures(1)
    trail = LINF.begin(images.clone(), images)
    sizes = []
    for step, losses in enumerate(
        [[0.0, 1.0, 2.0, 3.0], [-9.0, -8.0, -7.0, -6.0], [-5.0, -4.0, -3.0, -2.0]]
    ):
        for loss in losses:
            trail.note(torch.tensor([loss]), images.clone())
        # All but the first count as rises, so that only the second rule can slow it down.
        LINF.check(trail, images.clone(), images, 3 if step == 0 else 4)
        sizes.append(float(trail.sizes))
    assert sizes == pytest.approx([0.2, 0.1, 0.1])


def test_rows_are_kept_with_all_that_belongs_to_them() -> None:
    images = toys.pictures(5)
    trail = LINF.begin(images.clone(), images)
    trail.note(torch.arange(5.0), images * 2)
    kept = trail.keep(torch.tensor([3, 1]))
    assert torch.equal(kept.best_gradient, images[[3, 1]] * 2)
    assert torch.equal(kept.best_losses, torch.tensor([3.0, 1.0]))
    assert all(len(tensor) == 2 for tensor in kept)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("L2", 0.5)])
def test_a_move_is_the_papers_formula(norm: str, eps: float) -> None:
    threat = Threat(norm, eps)
    images = toys.pictures(6)
    before = threat.random_start(images, Draws(0, "before"))
    now = threat.random_start(images, Draws(0, "now"))
    gradient = Draws(0, "gradient").normal(images)
    way = Halving(threat, 100, 0.75, 0.75)
    trail = way.begin(before.clone(), images).moved(now.clone())
    straight = threat.project(images, now + 2 * eps * threat.steepest(gradient))
    expected = threat.project(images, now + 0.75 * (straight - now) + 0.25 * (now - before))
    moved = way.next(trail, gradient.clone(), images, 1)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-6)
    first = way.begin(now.clone(), images)
    torch.testing.assert_close(way.next(first, gradient.clone(), images, 0), straight)


def test_a_vanishing_gradient_still_has_a_direction_under_l2() -> None:
    threat = Threat("L2", 0.5)
    images = toys.pictures(2, low=0.4, high=0.6)
    gradient = Draws(0, "gradient").normal(images)
    way = Halving(threat, 100, 0.75, 0.75)
    moves = [
        way.next(way.begin(images.clone(), images), gradient * scale, images, 0)
        for scale in (1.0, 1e-30)
    ]
    torch.testing.assert_close(*moves)


def test_under_l1_a_step_moves_as_many_pixels_as_the_best_point_says() -> None:
    threat = Threat("L1", 3.0)
    images = toys.pictures(3, low=0.4, high=0.6)
    way = Sparse(threat, 50)
    trail = way.begin(images.clone(), images)
    trail.changed.copy_(torch.tensor([3.0, 15.0, 30.0]))
    gradient = Draws(0, "gradient").normal(images)
    moved = way.next(trail, gradient.clone(), images, 0)
    for row, count in enumerate((2, 10, 20)):
        changed = (moved[row] != images[row]).flatten()
        steepest = gradient[row].abs().flatten().topk(count).indices
        assert set(changed.nonzero()[:, 0].tolist()) == set(steepest.tolist())


def test_under_l1_a_sparser_best_starts_over_and_another_shortens() -> None:
    eps = 3.0
    images = toys.pictures(2, low=0.4, high=0.6)
    way = Sparse(Threat("L1", eps), 50)
    trail = way.begin(images.clone(), images)
    trail.changed.copy_(torch.tensor([10.0, 10.0]))
    trail.sizes.fill_(eps / 2)
    best = images.clone()
    best[0, 0, 0, :5] += 0.1
    best[1].flatten()[:10] += 0.1
    trail.best.copy_(best)
    way.check(trail, torch.zeros_like(images), images, 1)
    torch.testing.assert_close(trail.sizes, torch.tensor([eps, eps / 3]))
    assert torch.equal(trail.changed, torch.tensor([5.0, 10.0]))
    assert torch.equal(trail.current, torch.stack([best[0], images[1]]))
    for _ in range(20):
        way.check(trail, torch.zeros_like(images), images, 1)
    assert float(trail.sizes.min()) == pytest.approx(eps / 10)
    assert math.isfinite(float(trail.sizes.max()))
