"""What a recipe is: one way to train, to be compared with others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step; what is left over at the end of an epoch is not used in it.
        learning_rate: the highest of Adam's one-cycle schedule.
    """

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 0.005


@dataclass(frozen=True)
class Recipe:
    """One way to train, to be compared with others.

    Attributes:
        name: short, in tables and file names.
        title: what a report calls it.
        transforms: torchvision's names with their parameters, applied in this order.
        defence: a name in `defences/` with its options.
        plan: how long and how fast.
        control: "positive", "sham" or "" for a recipe under study.
    """

    name: str
    title: str
    transforms: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    defence: tuple[str, Mapping[str, Any]] = field(default_factory=lambda: ("standard", {}))
    plan: Plan = Plan()
    control: str = ""
