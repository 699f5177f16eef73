import pytest
import torch
import toys
from torch import nn

from unfooled.attack import find
from unfooled.errors import InvalidOption
from unfooled.gradients import predict
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

DRAWS = Draws(0)
LINF = Threat("Linf", 0.2)


def test_what_is_crafted_on_the_model_itself_fools_it(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    with torch.no_grad():
        needed = plane.margin(images).abs() / plane.weight.norm(p=1)
    threat = Threat("Linf", float(needed.median()) * 1.0001)
    changed = find("transfer", surrogates=[plane]).run(plane, images, labels, threat, draws=DRAWS)
    assert torch.equal(toys.read_by(plane, changed) != labels, needed < threat.eps)


def test_the_model_is_asked_once_for_each_surrogate_and_only_while_it_stands(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    class Blind(nn.Module):
        """Two classes; its gradient leads nowhere near the plane's."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            corner = images[:, 0, 0, :1]
            return torch.cat([corner, -corner], dim=1)

    weak, strong = Blind(), plane
    found = find("transfer", surrogates=[weak, strong, weak])
    (one,) = found.sweep(plane, images, labels, [Threat("Linf", 1.0)], draws=DRAWS)
    assert (toys.read_by(plane, one.images) != labels).all()
    assert set(one.passes.forward.tolist()) <= {1, 2}
    assert (one.passes.forward == 2).any()
    assert (one.passes.backward == 0).all()


def test_it_goes_on_when_the_surrogate_is_fooled(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    never = toys.net()
    with torch.no_grad():
        never[-1].weight.zero_()
        never[-1].bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    short, whole = (
        find("transfer", surrogates=[net], steps=steps).function(
            never, images, labels, LINF, draws=DRAWS, surrogates=[net], steps=steps
        )
        for steps in (1, 10)
    )
    assert LINF.distance(images, whole).min() > 0.19
    loss = [cross_entropy(predict(net, changed), labels).mean() for changed in (short, whole)]
    assert loss[1] >= loss[0]


def test_targets_are_reached(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    changed = find("transfer", surrogates=[net]).run(
        net, images, labels, LINF, draws=DRAWS, targets=targets
    )
    assert (toys.read_by(net, changed) == targets).sum() > 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "at least one surrogate"),
        ({"surrogates": [toys.net()], "steps": 0}, "steps=0"),
        ({"surrogates": [toys.net()], "decay": 1.5}, "decay=1.5"),
    ],
)
def test_options_that_cannot_be_are_refused(
    net: nn.Module, images: Images, options: dict[str, object], said: str
) -> None:
    labels = toys.read_by(net, images)
    with pytest.raises(InvalidOption, match=said):
        find("transfer", **options).run(net, images, labels, LINF, draws=DRAWS)


def test_a_surrogate_is_left_as_it_was(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    surrogate = toys.net().train()
    find("transfer", surrogates=[surrogate]).run(net, images, labels, LINF, draws=DRAWS)
    assert surrogate.training
    assert all(p.requires_grad and p.grad is None for p in surrogate.parameters())
