"""One attack on one network: the adversarial images, and what is known about them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unfooled import attack, dataset, evaluation, loading, memory, targets
from unfooled.attack import Attack
from unfooled.dataset import Dataset
from unfooled.errors import InvalidData, InvalidInput, InvalidModel, InvalidOption
from unfooled.evaluation import Evaluation
from unfooled.gradients import home
from unfooled.loading import Loaded
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

_CHANNELS = (1, 3)  # of what can be kept as a picture


@dataclass(frozen=True)
class Saved:
    """A network, ready to be attacked.

    Attributes:
        path: of its weights, or the words that it was loaded by.
        loaded: the network, on its device.
        data: whose test images it shall read.
        asked: the words that `load` found it by, as JSON has them.
    """

    path: Path
    loaded: Loaded
    data: Dataset
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> nn.Module:
        """In eval mode."""
        return self.loaded.network

    def sampled(self, n: int) -> tuple[Images, Labels]:
        """As many of the test images that studies take, on the network's device."""
        test = self.data.test
        ids = test.sample(n)
        device = home(self.network)
        return test.pixels(ids).to(device), test.labels[ids].to(device)

    @property
    def short(self) -> str:
        """What a folder or a file can be called after it, such as plain-0."""
        words = str(self.path) if ":" in str(self.path) else self.path.stem
        return re.sub(r"[^\w.-]+", "-", words.rpartition("/")[2])

    @property
    def sha256(self) -> str | None:
        """Of the file of its weights; None where it has none."""
        return self.loaded.sha256


@dataclass(frozen=True)
class Order:
    """What shall be crafted.

    Attributes:
        attack: with its options.
        threat: what it may do.
        n: test images, at least 1; the same sample that studies take.
        aimed: how targets are chosen, see `targets.find`; None takes any wrong class.
        seed: of the attack's chance. A study attacks the network of seed s with seed s.
        surrogates: the networks that the attack was given to craft on, if any.

    Raises:
        InvalidInput: n is below 1.
        InvalidThreat: the attack cannot work under this threat.
    """

    attack: Attack
    threat: Threat
    n: int = 100
    aimed: str | None = None
    seed: int = 0
    surrogates: tuple[Saved, ...] = ()

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InvalidInput(f"the number of images must be at least 1; it is {self.n}")
        self.attack.takes(self.threat)


@dataclass(frozen=True)
class Crafted:
    """What an attack made of test images.

    Attributes:
        saved: the attacked network.
        order: what was asked for.
        images, adversarial: before and after, on the CPU.
        rounded: the adversarial images as a file of 8 bits a pixel holds them.
        facts: as the judge found them, under one threat.
    """

    saved: Saved
    order: Order
    images: Images
    adversarial: Images
    rounded: Images
    facts: Evaluation

    @property
    def won(self) -> NDArray[np.bool_]:
        """Whether each image was read correctly before and is fooled now."""
        won: NDArray[np.bool_] = self.facts.correct & self.facts.fooled[0]
        return won


def find(name: str, options: Mapping[str, Any], surrogates: Sequence[Saved]) -> Attack:
    """The attack of that name, with the networks that it shall craft on if there are any.

    Raises:
        UnknownName, InvalidOption: as `attack.find`.
    """
    if "surrogates" in options:
        raise InvalidOption("surrogates are networks; name the file of each by --surrogate")
    networks = {"surrogates": [one.network for one in surrogates]} if surrogates else {}
    return attack.find(name, **options, **networks)


def load(
    which: str | Path,
    *,
    named: str | None,
    folder: Path | None,
    device: torch.device,
    weights: Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    allow: Sequence[str] = (),
) -> Saved:
    """A network with its data.

    Args:
        which: such as runs/mnist/models/plain-0.safetensors, or any other words of `loading.py`.
        named: a data set; None for the one that a run's network was trained on.
        folder: of the data files.
        device: where it shall be attacked.
        weights, mean, std, allow: as in `loading.load`.

    Raises:
        UnknownName, InvalidData, InvalidModel, InvalidOption: as `loading.load`.
        DataMissing: as `dataset.find`.
    """
    named, folder = dataset.meant(named or loading.trained_on(str(which)), folder)
    data = dataset.find(named, folder=folder)
    if data.channels not in _CHANNELS:
        raise InvalidData(f"{data.name} has {data.channels} channels; pictures have 1 or 3")
    try:
        found = loading.load(
            str(which),
            channels=data.channels,
            size=data.size,
            classes=len(data.classes),
            weights=weights,
            mean=mean,
            std=std,
            allow=allow,
        )
    except (InvalidData, InvalidModel) as error:
        raise type(error)(f"{error} ({data.title})") from error
    asked = {
        "which": str(which),
        "named": named,
        "weights": None if weights is None else str(weights),
        "mean": mean,
        "std": std,
    }
    return Saved(Path(which), replace(found, network=found.network.to(device)), data, asked)


def craft(saved: Saved, order: Order) -> Crafted:
    """The attack on test images, as the judge sees it.

    Raises:
        UnknownName: there is no such way to choose targets, and no such class.
        InvalidInput: every image belongs to the class that is wanted.
        InvalidModel: the attack follows the gradient, and the network gives none.
        InvalidModel, JobFailed: as `evaluation.judged`.
        OutOfMemory: memory has no room for so many images, all of which it returns.
    """
    with memory.needed(f"crafting {order.n} images", "fewer images"):
        return _crafted(saved, order)


def _crafted(saved: Saved, order: Order) -> Crafted:
    saved.loaded.takes(order.attack)
    ids = saved.data.test.sample(order.n)
    images, labels = saved.sampled(order.n)
    draws = Draws(order.seed, f"attack/{order.attack.name}", ids)
    wanted = None
    if order.aimed is not None:
        choose = targets.find(order.aimed, saved.data.classes)
        places, wanted = choose(saved.network, images, labels, draws)
        images, labels, draws = images[places], labels[places], draws.keep(places)
    facts, found = evaluation.judged(
        saved.network, images, labels, order.attack, [order.threat], draws=draws, targets=wanted
    )
    images, adversarial = images.cpu(), found[0].images.cpu()
    rounded = order.threat.as_8bit(images, adversarial)
    return Crafted(saved, order, images, adversarial, rounded, facts)
