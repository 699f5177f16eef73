"""Transformations that draw an operation for each image: TrivialAugmentWide, RandAugment, AugMix.

The operations, how strong they can be and how they are drawn are torchvision's. All images that
are moved are moved in one pass; each change of pixel values is made to those that drew it.

Sources: TrivialAugment: Müller and Hutter 2021, arXiv 2103.10158, section 3 and table 1 (wide).
RandAugment: Cubuk et al. 2020, arXiv 1909.13719, section 3. AugMix: Hendrycks et al. 2020, arXiv
1912.02781, algorithm 1 (without its loss).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from unfooled import tones
from unfooled.drawn import Form, beta, between, dirichlet, whole
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.warps import mode, warped

_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_BLENDS = {
    "Brightness": tones.brightness,
    "Color": tones.saturation,
    "Contrast": tones.contrast,
    "Sharpness": tones.sharpness,
}
_REST = {
    "Posterize": tones.posterized,
    "Solarize": tones.solarized,
    "AutoContrast": tones.autocontrasted,
    "Equalize": tones.equalized,
}


@dataclass(frozen=True)
class Space:
    """The operations of a policy, and how far each goes at its strongest.

    Attributes:
        operations: names as in torchvision, equally frequent.
        shear: pixels to the side for each pixel away from the corner.
        shift: pixels, from the image's side.
        turn: degrees.
        blend: how far from 1 a factor goes.
        bits: that posterising leaves at its weakest and at its strongest.
    """

    operations: tuple[str, ...]
    shear: float
    shift: Callable[[int], float]
    turn: float
    blend: float
    bits: tuple[int, int]


_ALL = ("Identity", *_MOVES, *_BLENDS, *_REST)
TRIVIAL = Space(_ALL, 0.99, lambda side: 32.0, 135.0, 0.99, (8, 2))  # noqa: ARG005
RAND = Space(_ALL, 0.3, lambda side: 150 / 331 * side, 30.0, 0.9, (8, 4))
AUGMIX = Space((*_MOVES, *_BLENDS, *_REST), 0.3, lambda side: side / 3, 30.0, 0.9, (4, 0))
AUGMIX_PART = Space((*_MOVES, *_REST), 0.3, lambda side: side / 3, 30.0, 0.9, (4, 0))


@dataclass(frozen=True)
class Chosen:
    """What was drawn for each image.

    Attributes:
        operation: place in the space's operations.
        level: strength, from 0 to just below `levels`.
        sign: -1 or 1, for operations that can go both ways.
        levels: how many strengths there are.
    """

    operation: Labels
    level: Labels
    sign: PerImage
    levels: int

    def up_to(self, strongest: float) -> PerImage:
        """How far each image's operation goes when this is the furthest."""
        steps = torch.linspace(0, strongest, self.levels, device=self.level.device)
        return steps[self.level]


def operated(images: Images, space: Space, chosen: Chosen, how: str) -> Images:
    """Each image after the operation that was drawn for it."""
    signed = chosen.sign * chosen.up_to(1)
    weakest, strongest = space.bits
    every = torch.arange(chosen.levels, device=images.device)
    bits = (weakest - every / (max(chosen.levels - 1, 1) / (weakest - strongest))).round()
    by = {
        **dict.fromkeys(_BLENDS, 1 + chosen.sign * chosen.up_to(space.blend)),
        "Posterize": bits[chosen.level],
        "Solarize": 1 - chosen.up_to(1),
        "AutoContrast": signed,
        "Equalize": signed,
    }
    changes = {**_BLENDS, **_REST}
    result = tones.each_its_own(
        images,
        chosen.operation,
        {
            place: (changes[name], by[name])
            for place, name in enumerate(space.operations)
            if name in changes
        },
    )
    moves = [place for place, name in enumerate(space.operations) if name in _MOVES]
    rows = torch.isin(chosen.operation, chosen.operation.new_tensor(moves)).nonzero()[:, 0]
    if len(rows):
        few = Chosen(chosen.operation[rows], chosen.level[rows], chosen.sign[rows], chosen.levels)
        result[rows] = _moved(images[rows], space, few, how)
    return result


def _moved(images: Images, space: Space, chosen: Chosen, how: str) -> Images:
    height, width = images.shape[2:]
    sheared, raised, right, below, turned = (
        chosen.sign * (chosen.operation == space.operations.index(name)) for name in _MOVES
    )
    steep = chosen.up_to(space.shear)
    shear = torch.stack([sheared * steep, raised * steep], 1)
    shift = torch.stack(
        [
            # torchvision shifts by whole pixels, rounded towards none
            (right * chosen.up_to(space.shift(width))).trunc(),
            (below * chosen.up_to(space.shift(height))).trunc(),
        ],
        dim=1,
    )
    # A shear about the upper left corner is one about the middle and a shift.
    shift -= shear * shear.new_tensor([height, width]) / 2
    angle = -turned * chosen.up_to(space.turn)
    return warped(images, angle, shift, torch.ones_like(angle), shear.atan().rad2deg(), how)


def _drawn(images: Images, space: Space, level: Labels, levels: int, draws: Draws) -> Chosen:
    operation = whole(len(space.operations), "operation", images, draws)
    sign = torch.where(between((-1, 1), "sign", images, draws) > 0, 1.0, -1.0)
    return Chosen(operation, level, sign, levels)


def _trivial(made: Any, images: Images, draws: Draws) -> Images:
    levels = made.num_magnitude_bins
    level = whole(levels, "level", images, draws)
    return operated(images, TRIVIAL, _drawn(images, TRIVIAL, level, levels, draws), mode(made))


def _rand(made: Any, images: Images, draws: Draws) -> Images:
    levels = made.num_magnitude_bins
    if not 0 <= made.magnitude < levels:
        raise ValueError(f"magnitude must be from 0 to {levels - 1}, not {made.magnitude}")
    level = torch.full((len(images),), made.magnitude, device=images.device)
    for step in range(made.num_ops):
        chosen = _drawn(images, RAND, level, levels, draws.step(step))
        images = operated(images, RAND, chosen, mode(made))
    return images


_LEVELS = 10  # AugMix's, of which `severity` are drawn
_DEEPEST = 3  # operations of a chain where none is set


def _augmix(made: Any, images: Images, draws: Draws) -> Images:
    space = AUGMIX if made.all_ops else AUGMIX_PART
    share = beta(made.alpha, "share", images, draws)
    weights = dirichlet(made.alpha, made.mixture_width, "weights", images, draws)
    weights = weights * (1 - share)[:, None]
    mixed = images * share[:, None, None, None]
    for chain in range(made.mixture_width):
        end = _chain(made, images, space, draws.step(chain))
        mixed += end * weights[:, chain, None, None, None]
    # Weights that add up to 1 do so up to rounding.
    return mixed.clamp_(0, 1)


def _chain(made: Any, images: Images, space: Space, draws: Draws) -> Images:
    """One to three operations, one after the other."""
    drawn = 1 + whole(_DEEPEST, "depth", images, draws)
    depth = torch.full_like(drawn, made.chain_depth) if made.chain_depth > 0 else drawn
    for step in range(int(depth.max())):
        rows = (depth > step).nonzero()[:, 0]
        few, own = images[rows], draws.keep(rows).step(step)
        level = whole(made.severity, "level", few, own)
        chosen = _drawn(few, space, level, _LEVELS, own)
        images = images.index_copy(0, rows, operated(few, space, chosen, mode(made)))
    return images


BATCHED: dict[str, Form] = {
    "TrivialAugmentWide": _trivial,
    "RandAugment": _rand,
    "AugMix": _augmix,
}
