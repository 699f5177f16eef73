"""One attack tried on one specimen, with all that it was asked and answered written down."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from unfooled.attack import Attack, Attacked
from unfooled.errors import (
    ContractBroken,
)
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Mask, PerImage
from unfooled.specimens import Specimen
from unfooled.threat import Threat
from unfooled.victim import Passes

# About half of the smooth specimen's images fall at these, under a strong attack.
_EPS = {"Linf": 0.05, "L2": 0.3, "L1": 1.5, "L0": 5.0, "spatial": 0.5}
MEASURED = {"Linf": math.inf, "L2": 2.0, "L1": 1.0, "L0": 0.0}  # as torch's vector norms have them


@dataclass(frozen=True)
class Trial:
    """One run of an attack on a specimen.

    Attributes:
        made: the specimen.
        threats: those that it was given, eps ascending.
        results: what came back for each.
        calls: of the attack's own function.
    """

    made: Specimen
    threats: tuple[Threat, ...]
    results: list[Attacked]
    calls: list["Call"]

    @property
    def images(self) -> Images:
        """What came back for the last threat."""
        return self.results[-1].images

    @property
    def passes(self) -> Passes:
        """How often each image went through the model until then."""
        return self.results[-1].passes


@dataclass(frozen=True)
class Call:
    """One call of the attack's own function, with its passes and whether its images stayed."""

    given: Images
    returned: list[Images]
    passes: Passes
    intact: bool


@dataclass(frozen=True)
class Case:
    """An attack under one norm, to be tried untargeted or targeted.

    Attributes:
        attack: with its options.
        norm: one of its norms.
        targeted: whether it is given the specimen's targets.
    """

    attack: Attack
    norm: str
    targeted: bool

    @property
    def bounded(self) -> bool:
        """Whether it promises to stay inside the threat."""
        return self.attack.promise == "bounded"

    @property
    def threat(self) -> Threat:
        """Such that some images fall and some stand; without a bound for a nearest attack."""
        return self.wide(1.0) if self.bounded else Threat(self.norm, math.inf)

    def wide(self, times: float) -> Threat:
        """As many times as wide as that of which about half of the images fall."""
        eps = times * _EPS.get(self.norm, 0.1)
        return Threat(self.norm, min(1.0, eps) if self.norm == "spatial" else eps)

    def aim(self, made: Specimen) -> Labels | None:
        """The targets that the attack is given."""
        return made.targets if self.targeted else None

    def wants(self, made: Specimen, images: Images) -> Mask:
        """Whether the model reads images of the specimen as the attack wants."""
        return fooled(predict(made.model, images), made.labels, self.aim(made))

    def run(self, made: Specimen, *threats: Threat, **options: Any) -> Trial:
        """What the attack makes of a specimen; an error of its own breaks the contract."""
        try:
            return self.attempt(made, *threats, **options)
        except Exception as error:
            raise self.broken(
                "it returns images for every model and all images that it may be given",
                f"it raised {type(error).__name__}: {error}",
                "handle this case inside the attack",
            ) from error

    def attempt(self, made: Specimen, *threats: Threat, **options: Any) -> Trial:
        """The same; its errors are its own."""
        calls: list[Call] = []
        attack = replace(
            self.attack,
            function=_noted(self.attack.function, calls),
            sweeper=self.attack.sweeper and _noted(self.attack.sweeper, calls),
            options={**self.attack.options, **options},
        )
        given = threats or (self.threat,)
        results = attack.sweep(
            made.model,
            made.images,
            made.labels,
            given,
            draws=Draws(0, "contract", made.ids),
            targets=self.aim(made),
        )
        return Trial(made, given, results, calls)

    def broken(self, promise: str, came: str, cure: str) -> ContractBroken:
        """One sentence: the promise that is broken, what came, and what would do."""
        goal = "targeted" if self.targeted else "untargeted"
        return ContractBroken(
            f"{self.attack.name} under {self.norm}, {goal}, breaks a promise: {promise}; "
            f"here {came}. To keep it, {cure}"
        )


def _noted(function: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    """The function, every call of which is written down."""

    def called(model: nn.Module, images: Images, labels: Labels, threat: Any, **given: Any) -> Any:
        before = images.clone()
        found = function(model, images, labels, threat, **given)
        returned = list(found) if isinstance(threat, list) else [found]
        passes = getattr(model, "passes", Passes.none(labels))
        intact = torch.equal(before, images)
        calls.append(Call(before, returned, passes, intact))
        return found

    return called


def size(norm: str, images: Images, adversarial: Images) -> PerImage:
    """How far each image was moved, with no help of ours where torch has the norm."""
    if norm not in MEASURED:
        return Threat(norm, math.inf).distance(images, adversarial)
    delta = (adversarial.double() - images.double()).flatten(1)
    far: PerImage = torch.linalg.vector_norm(delta, ord=MEASURED[norm], dim=1)
    return far
