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
    plane: toys.Plane, images: Images, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = home.gradient
    monkeypatch.setattr(home, "gradient", lambda *given: calls.append(1) or real(*given))
    threats = [Threat("Linf", eps / 10) for eps in range(5)]
    assert len(home.sweep(plane, images, labels, threats, draws=DRAWS)) == 5
    assert len(calls) == 1


def test_a_targeted_step_lowers_the_targets_cross_entropy(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    changed = find("fgsm").run(
        net, images, labels, Threat("Linf", 0.01), draws=DRAWS, targets=targets
    )
    loss = nn.CrossEntropyLoss(reduction="none")
    with torch.no_grad():
        assert (loss(net(changed), targets) < loss(net(images), targets)).all()
