"""What an examination finds: of a model (`doctor.py`), of a study's numbers (`check.py`).

The verdicts, for both:

    ok         nothing was found
    fixed      an evaluation does right what was found wrong (a model only)
    not tried  it could not be looked at
    doubt      a number may mean something else than it seems to
    refused    it would mean nothing (a model only; a study's check then fails)
    failed     a number is shown to be wrong, or cannot be told: its verdict is withheld
"""

from dataclasses import dataclass

import torch
from torch import nn

from unfooled.gradients import forward
from unfooled.shapes import Images, Labels, Logits, Mask

AT_ONCE = 32  # images that a model reads at a time
ROUNDING = 1e-4  # share of the largest logit by which answers may differ by rounding alone


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        check: its name.
        verdict: one of those above.
        sentence: what was found, and where it is not ok what would do.
        value: the number behind it, if there is one.
        recipe: the name of the one that it is about; "" for a model, or for the whole study.
        advice: what to run next, where it is not ok.
    """

    check: str
    verdict: str
    sentence: str
    value: float | None = None
    recipe: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Case:
    """A frozen model, the images and what it answers to them."""

    model: nn.Module
    images: Images
    labels: Labels
    classes: int
    logits: Logits

    @property
    def right(self) -> Mask:
        """Whether each image is read correctly."""
        return self.logits.argmax(1) == self.labels

    @property
    def accuracy(self) -> float:
        """The share of them."""
        return float(self.right.float().mean())


def answers(model: nn.Module, images: Images, size: int) -> Logits:
    """The logits of images that come so many at a time; call it on a frozen model."""
    with torch.no_grad():
        return torch.cat([forward(model, part.clone()) for part in images.split(size)])
