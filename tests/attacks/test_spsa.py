import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.attacks import spsa as home
from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

DRAWS = Draws(0)


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_a_plane_falls_where_eps_exceeds_margin_over_dual_norm(
    plane: toys.Plane, images: Images, labels: Labels, norm: str, dual: int
) -> None:
    with torch.no_grad():
        needed = plane.margin(images).abs() / plane.weight.norm(p=dual)
    eps = float(needed.median())
    tried = find("spsa", steps=40, samples=64)
    changed = tried.run(plane, images, labels, Threat(norm, eps), draws=DRAWS)
    falls = toys.read_by(plane, changed) != labels
    assert falls[needed < 0.85 * eps].all()
    assert not falls[needed > eps * (1 + 1e-4)].any()


def test_the_estimate_is_right_on_average(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    batch = Batch.of(plane, images, labels, None, DRAWS)
    with torch.no_grad():
        slope = home._estimate(batch, images, 2000, 0.01, DRAWS).flatten(1)
        expected = plane.weight * torch.where(labels == 1, -1.0, 1.0)[:, None]
    # Other pixels' slopes are the noise: each estimate spreads by |weight| / sqrt(pairs).
    far = (slope - expected).abs().amax()
    assert float(far) < 5 * float(plane.weight.detach().norm()) / 2000**0.5


@pytest.mark.parametrize(("steps", "samples"), [(1, 2), (3, 10)])
def test_queries_are_as_many_as_it_says(
    plane: toys.Plane, images: Images, labels: Labels, steps: int, samples: int
) -> None:
    tried = find("spsa", steps=steps, samples=samples)
    passes = tried.sweep(plane, images, labels, [Threat("L2", 1e-4)], draws=DRAWS)[0].passes
    assert int(passes.forward.max()) == tried.cost == steps * (samples + 1)
    assert int(passes.backward.max()) == 0


def test_attempts_stay_inside_the_box(plane: toys.Plane) -> None:
    images = toys.pictures(5).round()
    labels = toys.read_by(plane, images)

    class Narrow(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert 0 <= float(images.min()) <= float(images.max()) <= 1
            logits: torch.Tensor = plane(images)
            return logits

    tried = find("spsa", steps=3, samples=4, delta=0.1)
    tried.run(Narrow(), images, labels, Threat("Linf", 0.2), draws=DRAWS)


def test_how_many_are_asked_about_at_once_changes_nothing(
    net: nn.Module, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = toys.read_by(net, images)
    tried = find("spsa", steps=4, samples=8)
    usual = tried.run(net, images, labels, Threat("L2", 0.3), draws=DRAWS)
    monkeypatch.setattr(home, "_AT_ONCE", 20)
    parted = tried.run(net, images, labels, Threat("L2", 0.3), draws=DRAWS)
    torch.testing.assert_close(parted, usual)


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"samples": 3}, {"samples": 0}, {"step_size": 0.0}, {"delta": 0.6}],
)
def test_an_option_that_makes_no_attack_is_refused(
    plane: toys.Plane, images: Images, labels: Labels, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidOption, match="spsa needs steps >= 1"):
        find("spsa", **options).run(plane, images, labels, Threat("Linf", 0.1), draws=DRAWS)
