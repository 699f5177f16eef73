"""One made-up sick model for each check; healthy ones leave every check in peace."""

import copy
from collections.abc import Callable

import pytest
import torch
import toys
from torch import nn

from unfooled import doctor, model
from unfooled.dataset import Dataset
from unfooled.doctor import examine
from unfooled.errors import InvalidInput
from unfooled.finding import Finding
from unfooled.layers import Standardise
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels

Check = Callable[[nn.Module], nn.Module]


def trained(network: nn.Module, data: Dataset, *, seen: Callable = lambda x: x, epochs: int = 12):
    """The network after some epochs on images that a function changes first."""
    images, labels = seen(data.train.pixels()), data.train.labels
    learner = torch.optim.Adam(network.parameters(), 0.01)
    network.train()
    for epoch in range(epochs):
        for rows in torch.arange(len(labels)).roll(37 * epoch).split(40):
            learner.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            learner.step()
    return network.eval()


@pytest.fixture(scope="module")
def tests(striped: Dataset) -> tuple[Images, Labels]:
    return striped.test.pixels(), striped.test.labels


@pytest.fixture(scope="module")
def healthy(striped: Dataset) -> nn.Module:
    """A convolution with batch normalisation and dropout, trained."""
    torch.manual_seed(0)
    network = nn.Sequential(
        Standardise(),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(8 * 64, 3),
    )
    return trained(network, striped)


class Changed(nn.Module):
    """A network whose images or answers a function changes."""

    def __init__(
        self,
        network: nn.Module,
        *,
        after: Callable = lambda logits: logits,
        before: Callable = lambda images: images,
    ) -> None:
        super().__init__()
        self.network, self.after, self.before = network, after, before

    def forward(self, images):
        return self.after(self.network(self.before(images)))


class FakeGradient(torch.autograd.Function):
    """The images as they are, and a gradient that is none of theirs."""

    @staticmethod
    def forward(context, images):
        return images.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient.roll(5, dims=3).flip(2)


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {one.check: one.verdict for one in found}


def whole(sick: nn.Module, tests: tuple[Images, Labels], classes: int = 3) -> list[Finding]:
    found = examine(sick, *tests, classes)
    for one in found:
        assert "\n" not in one.sentence
    return found


def test_a_healthy_network_is_well(healthy: nn.Module, tests: tuple[Images, Labels]) -> None:
    found = whole(healthy, tests)
    assert set(verdicts(found).values()) == {"ok"}, found
    assert len(found) == 3 + len(doctor._CHECKS)


@pytest.mark.parametrize("name", ["strided", "lenet", "tutorial_cnn", "resnet18"])
def test_the_networks_of_the_models_folder_are_well(name: str) -> None:
    """On blots of two classes that any network learns in a moment."""
    n, size, rounds = (24, 16, 3) if name == "resnet18" else (64, 28, 20)
    labels = torch.arange(n) % 2
    images = 0.2 * torch.rand(n, 1, size, size)
    images[labels == 1, :, 4:12, 4:12] += 0.6
    network = model.build(name, channels=1, size=size, classes=2, seed=0)
    learner = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(rounds):
        learner.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        learner.step()
    # So few steps do not settle the statistics that a network remembers of its images.
    for _ in range(4):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.8
        with torch.no_grad():
            network(images)
    found = examine(network.eval(), images, labels, 2)
    wrong = [one for one in found if one.verdict != "ok"]
    assert not wrong, wrong


def permuted(logits):
    return logits[:, [1, 2, 0]]


def huge(logits):
    return 1e4 * logits


def stairs(images):
    return (images * 8).round() / 8


SICK: dict[str, tuple[str, str, str, Check]] = {
    "train mode": ("mode", "fixed", "BatchNorm2d and Dropout", lambda net: net.train()),
    "raises": (
        "forward",
        "refused",
        "cannot read images",
        lambda net: nn.Sequential(nn.Conv2d(3, 1, 3), net),
    ),
    "no tensor": (
        "forward",
        "refused",
        "returned a tuple",
        lambda net: Changed(net, after=lambda z: (z, z)),
    ),
    "nan": ("numbers", "refused", "NaN", lambda net: Changed(net, after=lambda z: z / (0 * z))),
    "half": (
        "numbers",
        "doubt",
        "bfloat16",
        lambda net: Changed(net.bfloat16(), before=lambda x: x.bfloat16()),
    ),
    "more classes": (
        "classes",
        "refused",
        "6 logits for data of 3",
        lambda net: Changed(net, after=lambda z: torch.cat([z, z - 9], 1)),
    ),
    "softmax": ("output", "doubt", "probabilities", lambda net: nn.Sequential(net, nn.Softmax(1))),
    "other order": ("labels", "doubt", "another order", lambda net: Changed(net, after=permuted)),
    "untrained": (
        "labels",
        "doubt",
        "no better than guessing",
        lambda net: Changed(net, after=lambda z: 0 * z + torch.tensor([0.0, 1.0, 0.5])),
    ),
    "random": (
        "repeat",
        "doubt",
        "obfuscated.eot",
        lambda net: Changed(net, before=lambda x: x + 0.1 * torch.randn_like(x)),
    ),
    "of the batch": (
        "batch",
        "doubt",
        "images beside it",
        lambda net: Changed(net, after=lambda z: z - z.mean(0)),
    ),
    "never one": (
        "batch",
        "refused",
        "cannot read 1 images",
        lambda net: Changed(net, after=lambda z: z.squeeze(0)),
    ),
    "sealed": (
        "gradient",
        "doubt",
        "black box",
        lambda net: Changed(net, after=lambda z: z.detach()),
    ),
    "stairs": ("gradient", "doubt", "exactly zero", lambda net: Changed(net, before=stairs)),
    "steep": (
        "gradient",
        "refused",
        "NaN or infinite",
        lambda net: Changed(net, before=lambda x: x + (0 * x).sqrt()),
    ),
    "fake": (
        "differences",
        "doubt",
        "goes astray",
        lambda net: Changed(net, before=FakeGradient.apply),
    ),
    "huge": ("saturation", "doubt", "underflows", lambda net: Changed(net, after=huge)),
}


@pytest.mark.parametrize("name", SICK)
def test_each_sickness_is_found(
    name: str, healthy: nn.Module, tests: tuple[Images, Labels]
) -> None:
    check, verdict, said, change = SICK[name]
    found = whole(change(copy.deepcopy(healthy)), tests)
    hits = [one for one in found if one.check == check]
    assert hits, found
    assert hits[0].verdict == verdict, found
    assert said in hits[0].sentence


def test_every_check_has_a_sick_model() -> None:
    tried = {check for check, *_ in SICK.values()} | {"pixels"}
    assert tried == {"mode", "forward", "numbers", "classes", *doctor._CHECKS}


@pytest.mark.parametrize(
    ("back", "said"),
    [
        (lambda x: 0.33 * x + 0.5, "--mean"),
        (lambda x: (x + 1) / 2, "--mean"),
        (lambda x: x / 255, "scaled to 0..255: the normalisation is missing; --mean 0 --std 0.003"),
    ],
    ids=["standardised", "-1..1", "0..255"],
)
def test_a_missing_normalisation_is_found_with_the_numbers_that_would_do(
    back: Callable, said: str, healthy: nn.Module, tests: tuple[Images, Labels]
) -> None:
    """In the wrong range nearly all pixels lie on one side of this network's threshold."""
    sick = Changed(healthy, before=lambda x: torch.sigmoid(60 * (back(x) - 0.5)))
    found = next(one for one in whole(sick, tests) if one.check == "pixels")
    assert found.verdict == "doubt"
    assert said in found.sentence


def test_log_probabilities_do_as_logits(healthy: nn.Module, tests: tuple[Images, Labels]) -> None:
    found = whole(nn.Sequential(healthy, nn.LogSoftmax(1)), tests)
    assert verdicts(found)["output"] == "ok"


def test_the_model_and_the_random_state_are_left_as_they_were(
    healthy: nn.Module, tests: tuple[Images, Labels]
) -> None:
    network = copy.deepcopy(healthy).train()
    before = copy.deepcopy(network.state_dict())
    state = torch.random.get_rng_state()
    examine(network, *tests, 3)
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


def test_one_image_is_enough_not_to_raise(healthy: nn.Module, tests: tuple[Images, Labels]) -> None:
    images, labels = tests
    examine(healthy, images[:1], labels[:1], 3)
    with pytest.raises(InvalidInput, match=r"in \[0, 1\]"):
        examine(healthy, 255 * images, labels, 3)


def test_a_max_pool_over_a_flat_background_is_no_broken_gradient() -> None:
    """Equal pixels are a kink of a max-pool at any step, which says nothing of the gradient."""
    with Draws(0, "pool").torch_state():
        pooled = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            nn.Linear(8 * 16, 3),
        ).eval()
    images = torch.zeros(40, 1, 8, 8)
    images[:, :, 2:5, 2:5] = toys.pictures(40)[:, :, 2:5, 2:5]
    found = examine(pooled, images, toys.read_by(pooled, images), 3)
    (one,) = [one for one in found if one.check == "differences"]
    assert one.verdict == "ok"
    assert one.value is not None
    assert one.value < 0.1  # of which ties alone would make more
