"""What a recipe is: one way to come by a network, to be compared with others."""

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
        averaging: of the weights, for the network that is judged: what a step leaves of the average
            before it, such as 0.999; 0 for none. Source: Izmailov et al. 2018,
            https://arxiv.org/abs/1803.05407; exponential: Rebuffi et al. 2021,
            https://arxiv.org/abs/2103.01946, section 3.
        weight_perturbation: each step learns at weights that were moved up the loss by that share
            of their length (adversarial weight perturbation), such as 0.005; 0 for none. Source:
            Wu et al. 2020, https://arxiv.org/abs/2004.05884.
    """

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 0.005
    averaging: float = 0.0
    weight_perturbation: float = 0.0


@dataclass(frozen=True)
class Given:
    """A network that is there already.

    Attributes:
        which: the words that `loading.load` takes; "" for one that was handed over in Python.
        weights: a file for it; "" for none.
        mean, std: of the pixels, put before it; None where it normalises inside.
        sha256: of the files that decide what it computes.
    """

    which: str
    weights: str = ""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Recipe:
    """One way to train, to be compared with others; or a network that is there already.

    Attributes:
        name: short, in tables and file names.
        title: what a report calls it.
        transforms: torchvision's names with their parameters, applied in this order.
        defence: a name in `defences/` with its options.
        plan: how long and how fast.
        input: names in `preprocessors/` with their options, before the trained network.
        control: "positive", "sham" or "" for a recipe under study.
        given: the network itself; what tells of training means nothing then.
    """

    name: str
    title: str
    transforms: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    defence: tuple[str, Mapping[str, Any]] = field(default_factory=lambda: ("standard", {}))
    plan: Plan = Plan()
    input: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    control: str = ""
    given: Given | None = None
