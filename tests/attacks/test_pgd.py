import math

import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.attacks import pgd as home
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.losses import cross_entropy, fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2), ("L1", math.inf)])
def test_a_plane_falls_where_eps_exceeds_margin_over_dual_norm(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    with torch.no_grad():
        needed = plane.margin(images).abs() / plane.weight.norm(p=dual)
    eps = float(needed.median())
    threat = Threat(norm, eps)
    changed = find("pgd").run(plane, images, labels, threat, draws=DRAWS)
    falls = toys.read_by(plane, changed) != labels
    # 40 steps from a random start end within 10 degrees of the best direction.
    assert falls[needed < 0.98 * eps].all()
    assert not falls[needed > eps * (1 + 1e-4)].any()
    assert 0 < int(falls.sum()) < len(images)


def test_many_steps_fool_what_a_single_one_fools(net: nn.Module) -> None:
    images = toys.pictures(200)
    labels = toys.read_by(net, images)
    threat = Threat("Linf", 0.04)
    single, several = (
        fooled(predict(net, attack.run(net, images, labels, threat, draws=DRAWS)), labels)
        for attack in (find("fgsm"), find("pgd", restarts=3))
    )
    assert 20 < int(single.sum()) < 180
    assert int((single & ~several).sum()) <= 1


def test_the_best_attainable_loss_on_a_plane_is_reached(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threat = Threat("L2", 0.01)  # too small to fool, so that every image is followed to the end
    changed = find("pgd", steps=50).run(plane, images, labels, threat, draws=DRAWS)
    with torch.no_grad():
        moved = (plane.margin(changed) - plane.margin(images)).abs()
    still = ~fooled(predict(plane, changed), labels)
    expected = 0.01 * plane.weight.detach().norm()
    assert (moved[still] <= expected * (1 + 1e-4)).all()
    assert (moved[still] >= 0.97 * expected).all()


def test_an_image_leaves_as_soon_as_it_is_fooled(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threats = [Threat("Linf", 0.3)]
    found = find("pgd", steps=40).sweep(plane, images, labels, threats, draws=DRAWS)[0]
    assert fooled(predict(plane, found.images), labels).all()
    # Its last gradient is that of the pass that saw it fooled.
    assert torch.equal(found.passes.until, found.passes.forward)
    assert torch.equal(found.passes.backward, found.passes.forward)
    assert int(found.passes.forward.max()) < 40
    assert len(found.passes.forward.unique()) > 1


def test_an_image_that_stands_takes_every_step_of_every_restart_and_no_more(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    small = [Threat("Linf", 1e-5)]
    for restarts in (1, 3):
        tried = find("pgd", steps=7, restarts=restarts)
        passes = tried.sweep(plane, images, labels, small, draws=DRAWS)[0].passes
        assert passes.backward.tolist() == [7 * restarts] * 24
        # A look at what a restart left decides who needs the next.
        assert passes.forward.tolist() == [7 * restarts + restarts - 1] * 24
        assert passes.until.tolist() == [-1] * 24


class Valley(nn.Module):
    """A quarter of the random starts lead to the hole that fools, the others to a wall."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        across, down = images[:, 0, 0, 0], images[:, 0, 0, 1]
        towards = torch.where((across > 0.55) & (down > 0.55), across + down, -across - down)
        return torch.stack([torch.full_like(towards, 1.15), towards], dim=1)


def test_restarts_find_what_one_start_misses() -> None:
    images = torch.full((200, 1, 1, 2), 0.5)
    labels = torch.zeros(200, dtype=torch.int64)
    threat = Threat("Linf", 0.1)
    shares = []
    for restarts in (1, 4):
        tried = find("pgd", steps=10, restarts=restarts)
        changed = tried.run(Valley(), images, labels, threat, draws=DRAWS)
        assert threat.allows(images, changed).all()
        shares.append(float(fooled(Valley()(changed), labels).float().mean()))
    # A start lies in the good sixteenth at first.
    assert shares[0] == pytest.approx(1 / 16, abs=0.05)
    assert shares[1] == pytest.approx(1 - (15 / 16) ** 4, abs=0.1)
    assert shares[1] > shares[0]


def test_called_by_itself_without_ids_it_can_restart_too(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    threat = Threat("Linf", 0.04)
    ids = Draws(0, ids=torch.arange(len(images)))
    net.eval()
    alone = home.pgd(net, images, labels, threat, draws=DRAWS, steps=3, restarts=3)
    assert torch.equal(alone, home.pgd(net, images, labels, threat, draws=ids, steps=3, restarts=3))


def test_the_given_step_size_is_taken(plane: toys.Plane, images: Images, labels: Labels) -> None:
    threat = Threat("Linf", 0.001)
    start = threat.random_start(images, Draws(0).step(0))
    tried = find("pgd", steps=1, step_size=0.0003)
    changed = tried.run(plane, images, labels, threat, draws=DRAWS)
    far = (changed - start).abs().flatten(1).amax(1)
    still = ~fooled(predict(plane, start), labels)
    torch.testing.assert_close(
        far[still], torch.full_like(far[still], 0.0003), rtol=1e-3, atol=1e-6
    )


def test_a_targeted_attack_reaches_a_target_that_is_not_the_nearest_class(
    net: nn.Module, images: Images
) -> None:
    logits = predict(net, images)
    labels, targets = logits.argmax(1), logits.argmin(1)
    threat = Threat("Linf", 0.3)
    changed = find("pgd").run(net, images, labels, threat, draws=DRAWS, targets=targets)
    assert (predict(net, changed).argmax(1) == targets).all()
    before = cross_entropy(logits, targets)
    assert (cross_entropy(predict(net, changed), targets) < before).all()


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"steps": -1}, {"restarts": 0}, {"step_size": 0.0}, {"step_size": -1.0}],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="steps >= 1, restarts >= 1 and step_size > 0"):
        find("pgd", **options).run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)
