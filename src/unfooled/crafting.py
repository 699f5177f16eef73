"""One attack on one saved network: the adversarial images, and what is known about them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unfooled import attack, dataset, evaluation, model, targets
from unfooled.attack import Attack
from unfooled.dataset import Dataset
from unfooled.errors import InvalidData, InvalidInput, InvalidModel, InvalidOption
from unfooled.evaluation import Evaluation
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.threat import Threat

_CHANNELS = (1, 3)  # of what can be kept as a picture


@dataclass(frozen=True)
class Saved:
    """A network of a run, ready to be attacked.

    Attributes:
        path: of its weights.
        network: in eval mode.
        data: whose test images it shall read.
        sha256: of the weights file.
    """

    path: Path
    network: nn.Module
    data: Dataset
    sha256: str


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


def load(path: Path, *, named: str | None, folder: Path | None, device: torch.device) -> Saved:
    """The network behind a weights file of a run, with its data.

    Args:
        path: such as runs/mnist/models/plain-0.safetensors.
        named: a data set other than the one it was trained on.
        folder: of the data files.
        device: where it shall be attacked.

    Raises:
        InvalidData: the file is missing, damaged, or of another kind.
        InvalidModel: the network does not fit the data, or the weights do not fit the network.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidData(f"cannot read {path}: {error.strerror}") from error
    try:
        about = model.about(content)
        architecture, trained_on = str(about["architecture"]), str(about["dataset"])
    except (InvalidData, KeyError) as error:
        raise InvalidData(
            f"{path} is no network of a run, such as runs/mnist/models/plain-0.safetensors: {error}"
        ) from error
    data = dataset.find(named or trained_on, folder=folder)
    if data.channels not in _CHANNELS:
        raise InvalidData(f"{data.name} has {data.channels} channels; pictures have 1 or 3")
    shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
    try:
        network = model.restored(content, architecture, **shape)
    except (InvalidData, InvalidModel) as error:
        raise type(error)(f"{path}: {error} ({data.title})") from error
    digest = hashlib.sha256(content).hexdigest()
    return Saved(path, network.to(device), data, digest)


def craft(saved: Saved, order: Order) -> Crafted:
    """The attack on test images, as the judge sees it.

    Raises:
        UnknownName: there is no such way to choose targets, and no such class.
        InvalidInput: every image belongs to the class that is wanted.
        InvalidModel, JobFailed: as `evaluation.judged`.
    """
    test = saved.data.test
    ids = test.sample(order.n)
    device = next((p.device for p in saved.network.parameters()), torch.device("cpu"))
    images, labels = test.pixels(ids).to(device), test.labels[ids].to(device)
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
