import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from unfooled import bounds, branching
from unfooled.backward import chain
from unfooled.branching import Branched, branched
from unfooled.condensed import Condensed, Rows, Split, condensed, whole
from unfooled.crown import apart, known, margins
from unfooled.fitting import Bounded, lowered, tightened
from unfooled.gradients import frozen
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.threat import Threat
from unfooled.witness import Witness


def tiny(seed: int) -> nn.Module:
    """Four pixels, and two layers of three ReLUs."""
    with Draws(seed, "tiny").torch_state():
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)
        ).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2.5)
    return net


def truth(net: nn.Module, image: Images, label: int, eps: float) -> np.ndarray:
    """The largest margins inside Linf: a linear programme for each pattern of the ReLUs."""
    first, second, last = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in net
        if isinstance(layer, nn.Linear)
    )
    pixels = image.flatten().numpy()
    box = list(zip((pixels - eps).clip(0, 1), (pixels + eps).clip(0, 1), strict=True))
    best = np.full(3, -np.inf)
    for pattern in itertools.product((0, 1), repeat=6):
        factors, constants, left, right = np.eye(4), np.zeros(4), [], []
        for (weight, bias), on in zip((first, second), np.reshape(pattern, (2, 3)), strict=True):
            factors, constants = weight @ factors, weight @ constants + bias
            left.append((1 - 2 * on)[:, None] * factors)
            right.append((2 * on - 1) * constants)
            factors, constants = on[:, None] * factors, on * constants
        factors, constants = last[0] @ factors, last[0] @ constants + last[1]
        for wrong in {0, 1, 2} - {label}:
            rise = factors[wrong] - factors[label]
            done = linprog(-rise, np.concatenate(left), np.concatenate(right), bounds=box)
            if done.status == 0:
                value = -done.fun + constants[wrong] - constants[label]
                best[wrong] = max(best[wrong], value)
    best[label] = 0
    return best


class Steady(nn.Module):
    """Misreads nothing, so that halving cannot end by what it meets."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label = label

    def forward(self, images: Images) -> torch.Tensor:
        return nn.functional.one_hot(torch.full((len(images),), self.label), 3).double()


def halved(
    net: nn.Module,
    read: nn.Module,
    image: Images,
    label: int,
    eps: float,
    below: float,
    branches: int,
) -> Branched:
    """Branch and bound in so many parts, at most."""
    threat = Threat("Linf", eps)
    with frozen(net), torch.no_grad():
        found = known(chain(net, image), image, threat)
        wrong = torch.tensor([one for one in range(3) if one != label])
        problem, rows = condensed(found, apart(wrong, torch.full_like(wrong, label), 3).double())
        witness = Witness(read, threat, image, torch.tensor([label]))
        return branched(witness, problem, rows, below=below, branches=branches)


@pytest.mark.parametrize("seed", range(3))
def test_halving_gives_the_truth_and_no_bound_lies_below_it(seed: int) -> None:
    net, eps = tiny(seed), 0.2
    image = Draws(seed, "image").uniform(torch.empty(1, 1, 2, 2)).double()
    label = int(net(image).argmax())
    exact = truth(net, image, label, eps)
    with frozen(net), torch.no_grad():
        plain = margins(net, image, torch.tensor([label]), Threat("Linf", eps))[0].numpy()
        wrong = torch.tensor([one for one in range(3) if one != label])
        found = known(chain(net, image), image, Threat("Linf", eps))
        problem, rows = condensed(found, apart(wrong, torch.full_like(wrong, label), 3).double())
        start = lowered(problem, rows, whole(problem, 2), 0).bounds.numpy()
        fitted = lowered(problem, rows, whole(problem, 2), 20).bounds.numpy()
        tight = tightened(problem, 20)
        tighter = lowered(tight, rows, whole(tight, 2), 20).bounds.numpy()
    assert start == pytest.approx(plain[wrong], abs=1e-9) or (start >= plain[wrong]).all()
    assert (fitted <= start).all()
    assert (tighter <= start + 1e-9).all()
    assert (exact[wrong] <= tighter + 1e-9).all()
    highest = float(exact[wrong].max())
    assert halved(net, Steady(label), image, label, eps, highest + 1e-6, 1000).stands
    assert not halved(net, Steady(label), image, label, eps, highest - 1e-6, 1000).stands


@pytest.mark.parametrize("eps", [0.1, 0.3])
def test_what_is_certified_is_what_is_true(eps: float) -> None:
    settled = 0
    for seed in range(5):
        net = tiny(seed)
        image = Draws(seed, "image").uniform(torch.empty(1, 1, 2, 2)).double()
        label = net(image).argmax(1)
        stands = truth(net, image, int(label), eps)
        stands = np.delete(stands, int(label)).max() < 0
        found = bounds.examined(net, image, label, Threat("Linf", eps), slopes=10, branches=1000)
        assert (bool(found.stands), bool(found.falls)) == (stands, not stands)
        settled += int(stands)
    assert 0 < settled < 5


def test_no_more_parts_are_asked_for_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(problem: Condensed, rows: Rows, split: Split, steps: int) -> Bounded:
        asked.append(len(rows.added))
        return lowered(problem, rows, split, steps)

    monkeypatch.setattr(branching, "lowered", counted)
    net = tiny(0)
    image = Draws(0, "image").uniform(torch.empty(1, 1, 2, 2)).double()
    label = int(net(image).argmax())
    for branches in (2, 5, 6, 11):
        asked.clear()
        found = halved(net, Steady(label), image, label, 0.4, -10.0, branches)
        assert not found.stands
        assert not found.falls
        assert branches - 1 <= sum(asked) <= branches
