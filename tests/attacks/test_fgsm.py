import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.attacks import fgsm as home
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)


def test_the_linf_step_is_eps_times_the_sign_of_the_gradient(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    changed = find("fgsm").run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)
    away = (1 - 2 * labels.float())[:, None, None, None]
    sign = plane.weight.detach().sign().view(1, 1, toys.SIZE, toys.SIZE)
    torch.testing.assert_close(changed, images + 0.1 * away * sign)


def test_the_l2_step_is_eps_along_the_gradient(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    changed = find("fgsm").run(plane, images, labels, Threat("L2", 0.3), draws=DRAWS)
    away = (1 - 2 * labels.float())[:, None, None, None]
    weight = plane.weight.detach()
    along = (weight / weight.norm()).view(1, 1, toys.SIZE, toys.SIZE)
    torch.testing.assert_close(changed, images + 0.3 * away * along)


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_a_plane_falls_exactly_where_eps_exceeds_margin_over_dual_norm(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    with torch.no_grad():
        needed = plane.margin(images).abs() / plane.weight.norm(p=dual)
    for eps in needed.sort().values[::5].tolist():
        for share, falls in ((0.999, needed < eps), (1.001, needed <= eps)):
            threat = Threat(norm, share * eps)
            changed = find("fgsm").run(plane, images, labels, threat, draws=DRAWS)
            assert torch.equal(toys.read_by(plane, changed) != labels, falls)


def test_a_sweep_takes_one_gradient_for_all_eps(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threats = [Threat("Linf", eps / 10) for eps in range(5)]
    results = find("fgsm").sweep(plane, images, labels, threats, draws=DRAWS)
    assert len(results) == 5
    for result in results:
        assert result.passes.forward.tolist() == result.passes.backward.tolist() == [1] * 24


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_a_sweep_of_its_own_gives_what_single_calls_give(
    net: nn.Module, images: Images, norm: str
) -> None:
    labels = toys.read_by(net, images)
    threats = [Threat(norm, eps) for eps in (0.0, 0.1, 0.4)]
    swept = home.sweep(net, images, labels, threats, draws=DRAWS)
    for threat, one in zip(threats, swept, strict=True):
        assert torch.equal(one, home.fgsm(net, images, labels, threat, draws=DRAWS))


def test_the_l1_step_is_eps_shared_by_the_pixels_of_the_largest_gradient(
    images: Images, labels: Labels
) -> None:
    large = toys.plane(32)
    images = 0.3 + 0.4 * Draws(0).uniform(torch.empty(24, 1, 32, 32))
    labels = toys.read_by(large, images)
    changed = find("fgsm").run(large, images, labels, Threat("L1", 2.0), draws=DRAWS)
    chosen = large.weight.detach().abs().topk(20).indices  # one in fifty of 1024
    step = torch.zeros(32 * 32)
    step[chosen] = 0.1 * large.weight.detach()[chosen].sign()
    away = (1 - 2 * labels.float())[:, None]
    torch.testing.assert_close((changed - images).flatten(1), away * step, atol=1e-6, rtol=0)


def test_a_targeted_step_lowers_the_targets_cross_entropy(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    changed = find("fgsm").run(
        net, images, labels, Threat("Linf", 0.01), draws=DRAWS, targets=targets
    )
    loss = nn.CrossEntropyLoss(reduction="none")
    with torch.no_grad():
        assert (loss(net(changed), targets) < loss(net(images), targets)).all()
