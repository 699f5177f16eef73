from collections.abc import Callable

import pytest
import torch
import toys
from torch import nn

from unfooled import attack, bounds, dataset
from unfooled.errors import InvalidModel, InvalidOption, InvalidThreat
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import TOLERANCE, Threat


def test_what_is_certified_no_attack_fools_and_eps_0_certifies_what_is_read() -> None:
    net, images = toys.net().eval(), toys.pictures(40)
    labels = toys.read_by(net, images)
    labels[:5] = (labels[:5] + 1) % 3
    assert torch.equal(
        bounds.certified(net, images, labels, Threat("Linf", 0.0)), torch.arange(40) >= 5
    )
    threat = Threat("Linf", 0.01)
    stands = bounds.certified(net, images, labels, threat)
    assert 0 < int(stands.sum()) < 35
    attacked = attack.find("pgd", steps=20).run(net, images, labels, threat, draws=Draws(0))
    assert (toys.read_by(net, attacked) == labels)[stands].all()


def test_certifying_leaves_the_model_as_it_was() -> None:
    net, images = toys.net(), toys.pictures(4)
    net.train()
    before = [p.detach().clone() for p in net.parameters()]
    bounds.certified(net, images, torch.zeros(4, dtype=torch.int64), Threat("Linf", 0.1))
    assert net.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in net.parameters())
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))


@pytest.mark.usefixtures("unchecked")  # the shapes are checked in the tests beside it
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_each_rung_shows_at_least_what_the_one_below_does(norm: str) -> None:
    net, images = toys.rectified(), toys.pictures(10)
    labels = toys.read_by(net, images)
    threat = Threat(norm, {"Linf": 0.12, "L2": 0.4}[norm])
    plain = bounds.certified(net, images, labels, threat)
    fitted = bounds.certified(net, images, labels, threat, slopes=10)
    branched = bounds.certified(net, images, labels, threat, slopes=10, branches=2000)
    assert (plain <= fitted).all()
    assert (fitted <= branched).all()
    assert int(plain.sum()) < int(branched.sum())
    attacked = attack.find("pgd", steps=20).run(net, images, labels, threat, draws=Draws(0))
    assert (toys.read_by(net, attacked) == labels)[branched].all()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_eps_0_certifies_what_is_read(norm: str) -> None:
    net, images = toys.rectified(), toys.pictures(8)
    labels = toys.read_by(net, images)
    labels[:3] = (labels[:3] + 1) % 3
    found = bounds.certified(net, images, labels, Threat(norm, 0.0), slopes=2, branches=10)
    assert torch.equal(found, torch.arange(8) >= 3)


def pooled() -> nn.Module:
    """Convolution, batch normalisation as it stands after a training, and a max-pool."""
    with Draws(0, "pooled").torch_state():
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 10),
            nn.LeakyReLU(0.2),
            nn.Linear(10, 3),
        )
        net(torch.rand(50, 1, 8, 8))
    return net.eval()


@pytest.mark.usefixtures("unchecked")  # the shapes are checked in the tests beside it
@pytest.mark.parametrize("make", [toys.rectified, toys.net, pooled])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.03), ("Linf", 0.06), ("L2", 0.25)])
def test_what_stands_stands_against_ten_thousand_images_and_attacks(
    make: Callable[[], nn.Module], norm: str, eps: float
) -> None:
    net, images, threat = make().eval(), toys.pictures(12, purpose="many"), Threat(norm, eps)
    labels = toys.read_by(net, images)
    found = bounds.examined(net, images, labels, threat, slopes=5, branches=100)
    assert not (found.stands & found.falls).any()
    for seed in range(20):
        many = images.repeat(500, 1, 1, 1)
        draw = threat.random_start if seed % 2 else threat.random_edge
        read = net(draw(many, Draws(seed))).argmax(1).view(500, -1)
        assert (read == labels).all(0)[found.stands].all()
    for name in ("pgd", "apgd"):
        attacked = attack.find(name, steps=50).run(net, images, labels, threat, draws=Draws(0))
        assert (toys.read_by(net, attacked) == labels)[found.stands].all()
    assert found.stands.any()


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Images, Labels]:
    """A small network that reads real digits, and 60 of those that it has not seen."""
    data, few = dataset.find("digits", folder=None), torch.arange(60)
    ids = torch.arange(len(data.train))
    images, labels = data.train.pixels(ids), data.train.labels
    with Draws(0, "digits").torch_state():
        net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
        )
        optimiser = torch.optim.Adam(net.parameters(), 2e-3)
        for batch in (part for _ in range(20) for part in torch.randperm(len(ids)).split(64)):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimiser.step()
    return net.eval(), data.test.pixels(few), data.test.labels[few]


@pytest.mark.usefixtures("unchecked")  # the shapes are checked in the tests beside it
@pytest.mark.parametrize("eps", [0.02, 0.05, 0.1])
def test_of_real_digits_every_one_stands_or_falls(
    digits: tuple[nn.Module, Images, Labels], eps: float
) -> None:
    net, images, labels = digits
    threat = Threat("Linf", eps)
    found = bounds.examined(net, images, labels, threat, slopes=5, branches=5000)
    assert (found.stands ^ found.falls).all()
    again = bounds.examined(net, images, labels, threat, slopes=5, branches=5000)
    assert torch.equal(found.stands, again.stands)
    assert torch.equal(found.falls, again.falls)
    attacked = attack.find("apgd", steps=50).run(net, images, labels, threat, draws=Draws(0))
    assert ((net(attacked).argmax(1) == labels) | found.falls).all()


@pytest.mark.parametrize("gap", [-1.0, 0.0, 1e-9, 1e-5])
def test_what_is_decided_by_a_rounding_is_not_shown(gap: float) -> None:
    """Logits 0 and x - y - gap, of pixels that come as near as they may to each other."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).double()
    eps, far = 0.125, TOLERANCE
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
        net[1].bias.copy_(torch.tensor([0.0, -gap - 2 * far], dtype=torch.float64))
    image = torch.tensor([[[[0.375, 0.625]]]], dtype=torch.float64)
    found = bounds.examined(net, image, torch.tensor([0]), Threat("Linf", eps))
    assert (bool(found.stands), bool(found.falls)) == (gap == 1e-5, gap == -1.0)


def test_numbers_that_cancel_out_are_not_trusted() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)).double()
    with torch.no_grad():
        for layer in (net[1], net[3]):
            layer.weight.mul_(1e9)
        net[3].weight[1] = net[3].weight[0]
        net[3].bias.copy_(torch.tensor([0.01, 0.0]))
    images, labels = toys.pictures(3).double(), torch.zeros(3, dtype=torch.int64)
    assert not bounds.certified(net, images, labels, Threat("Linf", 0.01)).any()


def test_numbers_that_are_none_never_stand() -> None:
    net, images = toys.rectified(), toys.pictures(3)
    with torch.no_grad():
        net[1].bias[0] = torch.nan
    found = bounds.examined(
        net, images, torch.zeros(3, dtype=torch.int64), Threat("Linf", 0.01), slopes=2, branches=4
    )
    assert not found.stands.any()
    assert found.falls.all()


def test_what_is_shown_does_not_depend_on_the_other_images() -> None:
    net, images = toys.rectified(), toys.pictures(6)
    labels, threat = toys.read_by(net, images), Threat("Linf", 0.08)
    whole = bounds.certified(net, images, labels, threat)
    for one in range(6):
        alone = bounds.certified(net, images[one : one + 1], labels[one : one + 1], threat)
        assert torch.equal(alone, whole[one : one + 1])


@pytest.mark.parametrize(
    ("threat", "options", "error", "said"),
    [
        (Threat("L1", 1.0), {}, InvalidThreat, "for Linf and L2; L1 came"),
        (Threat("L2", float("inf")), {}, InvalidThreat, "finite"),
        (Threat("Linf", 0.1), {"slopes": -1}, InvalidOption, "0 or more"),
        (Threat("Linf", 0.1), {"branches": -1}, InvalidOption, "0 or more"),
    ],
)
def test_what_cannot_be_asked_is_an_error(
    threat: Threat, options: dict[str, float], error: type[Exception], said: str
) -> None:
    net, images = toys.rectified(), toys.pictures(1)
    with pytest.raises(error, match=said):
        bounds.certified(net, images, toys.read_by(net, images), threat, **options)


def test_a_layer_without_bounds_is_an_error() -> None:
    net = nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(64, 3))
    with pytest.raises(InvalidModel, match="no bounds for a layer GELU"):
        bounds.certified(net, toys.pictures(1), torch.tensor([0]), Threat("Linf", 0.1))


class _Uncopyable(nn.Sequential):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise TypeError("a session of another library")


class _Single(nn.Module):
    """Insists on single precision."""

    def __init__(self, *_: nn.Module) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 4))

    def forward(self, images: Images) -> torch.Tensor:
        return images.flatten(1).float() @ self.weight.T


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (_Uncopyable, "cannot be copied: a session of another library"),
        (_Single, "cannot be asked as it is followed, in torch.float64"),
    ],
)
def test_a_network_that_cannot_be_asked_in_double_precision_is_an_error(
    kind: Callable[..., nn.Module], message: str
) -> None:
    network = kind(nn.Flatten(), nn.Linear(4, 2))
    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    with pytest.raises(InvalidModel, match=message):
        bounds.certified(network, images, labels, Threat("Linf", 0.1))


def test_a_hook_is_not_overlooked() -> None:
    network = toys.pyramid(channels=1, size=toys.SIZE, classes=3)
    images = torch.full((1, 1, toys.SIZE, toys.SIZE), 0.5)
    labels = network(images).argmax(1)
    bounds.certified(network, images, labels, Threat("Linf", 0.01))
    relu = next(one for one in network.modules() if isinstance(one, nn.ReLU))
    relu.register_forward_hook(lambda _, __, found: torch.where(found > 1000, -found, found))
    with pytest.raises(InvalidModel, match="a hook may change"):
        bounds.certified(network, images, labels, Threat("Linf", 0.01))
