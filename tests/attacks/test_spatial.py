import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidThreat
from unfooled.geometry import warp
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)


class Marker(nn.Module):
    """Class 1 where the pixel one below and one to the right of the middle is bright."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images[:, 0, 5, 5]
        return torch.stack([torch.full_like(bright, 0.5), bright], dim=1)


def by_three_loops(
    model: nn.Module, images: Images, labels: Labels, eps: float
) -> tuple[list[float], list[bool]]:
    """The size of each image's smallest misread warp within eps, and whether there is one."""
    least = [2.0] * len(images)
    for angle in range(-30, 31, 2):
        for rows in (-1, 0, 1):
            for columns in (-1, 0, 1):
                size = max(abs(angle) / 30, abs(rows), abs(columns))
                if size <= eps + 1e-9:
                    read = model(warp(images, angle, (rows, columns))).argmax(1)
                    for place in (read != labels).nonzero()[:, 0].tolist():
                        least[place] = min(least[place], size)
    return least, [size <= 1 for size in least]


@pytest.mark.parametrize("eps", [0.1, 0.4, 1.0])
def test_it_finds_exactly_what_three_loops_find(net: nn.Module, eps: float) -> None:
    images = toys.pictures(30)
    labels = toys.read_by(net, images)
    least, falls = by_three_loops(net, images, labels, eps)
    threat = Threat("spatial", eps)
    changed = find("spatial").run(net, images, labels, threat, draws=DRAWS)
    assert sum(falls) > 2
    assert (toys.read_by(net, changed) != labels).tolist() == falls
    assert threat.allows(images, changed).all()
    sizes = threat.distance(images, changed).tolist()
    assert sizes == pytest.approx([size if size <= 1 else 0 for size in least])


def test_a_shift_by_one_pixel_brings_the_marker_where_it_is_read() -> None:
    images = torch.zeros(1, 1, 8, 8)
    images[0, 0, 4, 5] = 1
    labels = torch.zeros(1, dtype=torch.int64)
    threat = Threat("spatial", 1.0)
    changed = find("spatial").run(Marker(), images, labels, threat, draws=DRAWS)
    assert (Marker()(changed).argmax(1) == 1).all()
    assert threat.distance(images, changed).item() <= 1


def test_a_sweep_gives_what_each_eps_alone_gives(net: nn.Module) -> None:
    images = toys.pictures(20)
    labels = toys.read_by(net, images)
    threats = [Threat("spatial", eps) for eps in (0.0, 0.2, 0.5, 1.0)]
    together = find("spatial").sweep(net, images, labels, threats, draws=DRAWS)
    for threat, one in zip(threats, together, strict=True):
        alone = find("spatial").run(net, images, labels, threat, draws=DRAWS)
        assert torch.equal(one.images, alone)


def test_every_point_of_the_grid_is_asked_about_once(images: Images) -> None:
    labels = torch.zeros(len(images), dtype=torch.int64)
    never = nn.Sequential(nn.Flatten(), nn.Linear(toys.SIZE**2, 2))
    nn.init.zeros_(never[1].weight)
    nn.init.zeros_(never[1].bias)
    threat = Threat("spatial", 1.0)
    one = find("spatial").sweep(never, images, labels, [threat], draws=DRAWS)[0]
    assert (one.passes.forward == 31 * 9 - 1).all()
    assert torch.equal(one.images, images)


def test_targets_are_what_counts(net: nn.Module) -> None:
    images = toys.pictures(20)
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    threat = Threat("spatial", 1.0)
    changed = find("spatial").run(net, images, labels, threat, draws=DRAWS, targets=targets)
    read = toys.read_by(net, changed)
    assert ((read == targets) | (read == labels)).all()
    assert (read == targets).sum() > 5


def test_other_norms_and_an_infinite_eps_are_refused(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    with pytest.raises(InvalidThreat, match="spatial does not attack under L2"):
        find("spatial").run(net, images, labels, Threat("L2", 1.0), draws=DRAWS)
    with pytest.raises(InvalidThreat, match="infinite"):
        find("spatial").run(net, images, labels, Threat("spatial", float("inf")), draws=DRAWS)
    with pytest.raises(InvalidThreat, match="pgd does not attack under spatial"):
        find("pgd").run(net, images, labels, Threat("spatial", 1.0), draws=DRAWS)
