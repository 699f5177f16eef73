"""What an examination of a model finds; `doctor.py` examines."""

from dataclasses import dataclass

import torch
from torch import nn

from unfooled.gradients import forward
from unfooled.shapes import Images, Logits

ROUNDING = 1e-4  # share of the largest logit by which answers may differ by rounding alone


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        check: its name.
        verdict: "ok"; "fixed", where an evaluation does right what was found wrong; "doubt", where
            its numbers may mean something else than they seem to; "refused", where they would mean
            nothing.
        sentence: what was found, and where it is not ok what would do.
        value: the number behind it, if there is one.
    """

    check: str
    verdict: str
    sentence: str
    value: float | None = None


def answers(model: nn.Module, images: Images, size: int) -> Logits:
    """The logits of images that come so many at a time; call it on a frozen model."""
    with torch.no_grad():
        return torch.cat([forward(model, part.clone()) for part in images.split(size)])
