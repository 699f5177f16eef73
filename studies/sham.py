"""Defences that look robust to a weak evaluation and are not; `sham.toml` puts them to the audit.

Losses to train with, and layers in front of the network that are attacked through as they are. None
of them is meant to be used.
"""

import math
import time
import weakref

import torch
import torch.nn.functional as F
from torch import nn

from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage

# What a naive user says of a layer: it has a gradient, and no chance.
GRADIENT = "own"
RANDOM = False

_TEACHERS: "weakref.WeakKeyDictionary[nn.Module, _Teacher]" = weakref.WeakKeyDictionary()
_CHANCE = torch.Generator().manual_seed(time.time_ns() % 2**31)


def scaled(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,  # noqa: ARG001 - the same signature as every defence
    progress: float,  # noqa: ARG001
    times: float = 100.0,
) -> PerImage:
    """Cross-entropy of logits that are divided in training and not in use, so that they are large.

    The softmax is then so sure of itself that its gradient is lost in float32.

    Source: Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, section 7.
    """
    return F.cross_entropy(model(images) / times, labels, reduction="none")


class _Teacher:
    """A network that learns beside its student, from the labels."""

    def __init__(self, like: nn.Module, draws: Draws) -> None:
        import copy

        self.network = copy.deepcopy(like)
        with draws.step("teacher").torch_state():
            for module in self.network.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def learns(self, images: Images, labels: Labels, temperature: float) -> None:
        with torch.enable_grad():
            loss = F.cross_entropy(self.network(images) / temperature, labels)
            self.adam.zero_grad()
            loss.backward()
        self.adam.step()


def distilled(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    draws: Draws,
    progress: float,
    temperature: float = 100.0,
) -> PerImage:
    """Defensive distillation: the soft labels of a teacher, both at a high temperature.

    The teacher learns during the first half; until then the student has the labels.

    Source: Papernot et al. 2016, https://arxiv.org/abs/1511.04508; broken by Carlini and Wagner
    2017, https://arxiv.org/abs/1608.04644.
    """
    teacher = _TEACHERS.get(model)
    if teacher is None:
        teacher = _TEACHERS[model] = _Teacher(model, draws)
    logits = model(images) / temperature
    if progress < 0.5:
        teacher.learns(images, labels, temperature)
        return F.cross_entropy(logits, labels, reduction="none")
    with torch.no_grad():
        soft = (teacher.network(images) / temperature).softmax(1)
    return F.cross_entropy(logits, soft, reduction="none")


def rounded(images: Images, *, draws: Draws, bits: int = 3) -> Images:  # noqa: ARG001
    """Each pixel rounded to so many bits, and attacked through the rounding: no gradient at all."""
    most = 2**bits - 1
    return (images * most).round() / most


def shattered(images: Images, *, draws: Draws, size: float = 0.02, pace: float = 3000.0) -> Images:  # noqa: ARG001
    """A ripple too small to see, whose slope is so steep that it drowns every other."""
    return images + size * (pace * images).sin()


def resized(images: Images, *, draws: Draws, smallest: float = 0.9) -> Images:  # noqa: ARG001
    """Each image shrunk to a random size and laid at a random place, anew at each call.

    Source: Xie et al. 2018, https://arxiv.org/abs/1711.01991.
    """
    chance = torch.rand(3, len(images), generator=_CHANCE).to(images)
    share = smallest + (1 - smallest) * chance[0]
    down, across = (2 * chance[1:] - 1) * (1 / share - 1)
    still = torch.zeros_like(share)
    moves = [torch.stack([1 / share, still, across]), torch.stack([still, 1 / share, down])]
    grid = F.affine_grid(
        torch.stack(moves).permute(2, 0, 1), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, align_corners=False)


def undefined(images: Images, *, draws: Draws) -> Images:  # noqa: ARG001
    """The images as they are; the gradient is not a number."""
    return images + 0 * (images - images.detach()).abs().sqrt()


def wary(images: Images, *, draws: Draws) -> Images:  # noqa: ARG001
    """The images as they are, unless a gradient is asked for: then a blur of something else."""
    if not (images.requires_grad and torch.is_grad_enabled()):
        return images
    flipped = images.flip(3) * math.pi / 4
    return (0.9 * images.detach() + 0.1 * flipped).clamp(0, 1)
