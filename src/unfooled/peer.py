"""What a peer is: another library of attacks, asked for the same attack in its own words.

Every file in `peers/` holds a function of its own name, and constants:

    def name(model: nn.Module, task: Task, batch: int, seed: int) -> Way

    PACKAGE: what its distribution is called
    INSTALL: the command that brings it
    ALONE:   for an attack, what the library would take where nobody says otherwise
    KNOWN:   for an attack and a norm, what makes the library's numbers other ones

The function prepares an attack and returns the call that is timed, from images and labels to the
attacked images for each eps. The model arrives in eval mode with its parameters frozen, so that
nobody computes weight gradients. The library's import stands inside, so that nothing needs it and
the process of one library holds no other.

Where a library offers several ways, the quickest is taken: foolbox's `run` without the judging
around it, adv-lib's DDN without rounding to 256 levels (which only lengthens its changes).
"""

import importlib.metadata
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from unfooled import catalog
from unfooled.errors import UnknownName

Attack = Callable[[Tensor, Tensor], Tensor]  # images and labels to attacked images
Way = Callable[[Tensor, Tensor], list[Tensor]]  # the same for each eps

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What is asked for.

    Attributes:
        attack: our name of it.
        budget: steps or queries.
        norm, eps: the threats.
        shape: channels, height and width of the images.
        classes: that the model tells apart.
    """

    attack: str
    budget: int
    norm: str
    eps: tuple[float, ...]
    shape: tuple[int, int, int]
    classes: int

    def step_size(self, eps: float) -> float:
        """What PGD here takes, from which no library differs."""
        return 2.5 * eps / self.budget


@dataclass(frozen=True)
class Peer:
    """A library.

    Attributes:
        name: as users write it.
        prepare: see this file's docstring.
        version: None where it is not installed.
        install: the command that brings it.
        alone: what it takes where nobody says otherwise, by attack.
        known: what makes its numbers other ones, by attack and norm.
    """

    name: str
    prepare: Callable[[nn.Module, Task, int, int], Way]
    version: str | None
    install: str
    alone: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[tuple[str, str], str] = field(default_factory=dict)


def find(name: str) -> Peer:
    """The library of that name, installed or not, or the user's own `file.py:function`.

    Raises:
        UnknownName: there is none.
    """
    home, prepare = catalog.module("peers", name), catalog.function("peers", name)
    package = getattr(home, "PACKAGE", name)
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = None
    return Peer(
        name,
        prepare,
        getattr(home, "VERSION", version),
        getattr(home, "INSTALL", f"pip install {package}"),
        getattr(home, "ALONE", {}),
        getattr(home, "KNOWN", {}),
    )


def names() -> list[str]:
    """Every library, installed or not."""
    return catalog.names("peers")


def chosen(library: str, ways: Mapping[tuple[str, str], Callable[[], T]], task: Task) -> T:
    """The library's way to do the task, among its ways by attack and norm.

    Raises:
        UnknownName: it is not asked for such an attack.
    """
    make = ways.get((task.attack, task.norm))
    if make is None:
        known = ", ".join(f"{attack} {norm}" for attack, norm in ways)
        raise UnknownName(
            f"{library} is not asked for {task.attack} under {task.norm}; it is for {known}"
        )
    return make()


def device_of(model: nn.Module) -> torch.device:
    """Where the model lies; one without parameters answers anywhere."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def in_parts(attacks: list[Attack], batch: int) -> Way:
    """For a library that works on the images that it is given at once."""

    def way(images: Tensor, labels: Tensor) -> list[Tensor]:
        parts = list(zip(images.split(batch), labels.split(batch), strict=True))
        return [torch.cat([attack(*part) for part in parts]) for attack in attacks]

    return way


def iterations(queries: int) -> int:
    """Iterations of HopSkipJump within so many queries.

    No library but ours has a bound on all queries. Iteration j asks 100 sqrt(j) times for a
    direction and about 20 times for the way back to the boundary.
    """
    asked = count = 0
    while asked <= queries:
        count += 1
        asked += int(100 * math.sqrt(count)) + 20
    return max(1, count - 1)
