"""Rotations and shifts: the smallest one of a whole grid that is misread."""

from collections.abc import Sequence

import torch
from torch import nn

from unfooled.geometry import grid, turned, window
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import TOLERANCE, Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "decisions"
NORMS = ("spatial",)


def spatial(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> Images:
    """The smallest rotation and shift that is misread; the image itself where none within eps is.

    Every point of the grid within eps is tried, so the answer is exact: eps is the share of the
    largest rotation (30 degrees either way, in steps of 2) and of the largest shift (a tenth of the
    side, by whole pixels). For images of 28 x 28 pixels, eps 1 takes 1,518 queries.

    Raises:
        InvalidThreat: eps is infinite.

    Source: Engstrom et al. 2019, https://arxiv.org/abs/1712.02779, section 3.
    """
    return sweep(model, images, labels, [threat], draws=draws, targets=targets)[0]


def sweep(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threats: Sequence[Threat],
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> list[Images]:
    """`spatial` for each threat, from one pass over the grid: its smallest point decides all."""
    for threat in threats:
        threat.bounded()
    widest = max(threat.eps for threat in threats)
    found = images.clone()
    sizes = torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device)
    frame = images.shape[2], images.shape[3]
    left = Batch.of(model, images, labels, targets, draws)
    for turn in grid(*frame)[1:]:  # the first is the image itself
        if turn.size > widest + TOLERANCE or not len(left):
            break
        around = turned(left.images, turn.angle)
        for shift in turn.shifts:
            attempts = window(around, frame, shift)
            misread = left.fooled(attempts)
            if misread.any():
                found[left.places[misread]] = attempts[misread]
                sizes[left.places[misread]] = turn.size
                left, around = left.keep(~misread), around[~misread]
                if not len(left):
                    break
    return [
        torch.where((sizes <= threat.eps + TOLERANCE)[:, None, None, None], found, images)
        for threat in threats
    ]
