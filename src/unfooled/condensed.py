"""One image's network without what its bounds decide: only the ReLUs that are still open are left.

Where a ReLU is on one side of 0 for every image inside the threat, it is a line. What remains is
small enough that slopes and splits can be tried by the hundred.

Source: slopes, Xu et al. 2021, https://arxiv.org/abs/2011.13824, section 3.1; splits and their
multipliers, Wang et al. 2021, https://arxiv.org/abs/2103.06624, section 3.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor, nn

from unfooled.crown import Known
from unfooled.interval import Box
from unfooled.lines import Lines, bent, inner, rectified
from unfooled.region import Region
from unfooled.shapes import PerImage


@dataclass(frozen=True)
class Rows:
    """Linear functions of the pixels and of what the open ReLUs give.

    Attributes:
        pixels: factors of the pixels.
        units: factors of the open ReLUs' outputs, layer by layer.
        added: constants.
    """

    pixels: Float[Tensor, "m d"]
    units: tuple[Float[Tensor, "m _"], ...]
    added: PerImage

    def at(self, of: Int64[Tensor, " k"]) -> "Rows":
        """The rows at these places."""
        return Rows(self.pixels[of], tuple(one[of] for one in self.units), self.added[of])

    def __neg__(self) -> "Rows":
        return Rows(-self.pixels, tuple(-one for one in self.units), -self.added)


@dataclass(frozen=True)
class Layer:
    """The open ReLUs of one layer.

    Attributes:
        module: the ReLU, leaky or not.
        rows: what each is given, by the pixels and the open ReLUs of the layers before.
        box: where that lies, `[1, units]`.
    """

    module: nn.Module
    rows: Rows
    box: Box


@dataclass(frozen=True)
class Condensed:
    """What is left of a network for one image.

    Attributes:
        region: the images inside the threat.
        layers: those with open ReLUs, from the pixels on.
    """

    region: Region
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Split:
    """Parts of the images inside the threat, by the signs of what some open ReLUs are given.

    Attributes:
        signs: 1 where it is at least 0, -1 where it is at most 0, 0 where it may be either.
        slopes: of the lower lines, to begin with.
        pushes: multipliers of the signs, at least 0.
    """

    signs: tuple[Int8[Tensor, "m _"], ...]
    slopes: tuple[Float[Tensor, "m _"], ...]
    pushes: tuple[Float[Tensor, "m _"], ...]

    def at(self, of: Int64[Tensor, " k"]) -> "Split":
        """The parts at these places, which may come several times."""
        return Split(*(tuple(one[of] for one in some) for some in vars(self).values()))

    def with_(self, other: "Split") -> "Split":
        """The parts of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Split(*(tuple(torch.cat(two) for two in zip(*some, strict=True)) for some in pairs))


def condensed(found: Known, wanted: Float[Tensor, "m k"]) -> tuple[Condensed, Rows]:
    """The network of a single image, and what is wanted of its logits; see `crown.Known`.

    Only for networks in which nothing but ReLUs bends.
    """
    places = sorted(found.boxes)
    open_ = {place: bent(found.chain.steps[place], found.boxes[place])[0] for place in places}
    places = [place for place in places if open_[place].any()]
    layers = []
    for place in places:
        which, box = open_[place].flatten().nonzero()[:, 0], found.boxes[place]
        rows, added = found.chain.units(place, which)
        first = found.chain.linear(place)
        own = Box(box.middle.flatten(1)[:, which], box.radius.flatten(1)[:, which])
        before = [one for one in places if one < place]
        layers.append(
            Layer(
                inner(found.chain.steps[place]), _cut(found, rows, added, first, open_, before), own
            )
        )
    rows, added = found.chain.back(wanted, len(found.chain.steps))
    first = found.chain.linear(len(found.chain.steps))
    return Condensed(found.region, tuple(layers)), _cut(found, rows, added, first, open_, places)


def _cut(
    found: Known,
    rows: Tensor,
    added: PerImage,
    end: int,
    open_: dict[int, Tensor],
    places: Sequence[int],
) -> Rows:
    """Rows for the pixels, with the factors of open ReLUs taken out on the way."""
    units = dict[int, Tensor]()
    while end > 0:
        place = end - 1
        if place in places:
            units[place] = rows[:, open_[place]]
        # What is no line here has been taken out; the rest is one, without a constant.
        own = found.lines[place]
        if isinstance(own, Lines):
            rows = rows * torch.where(open_[place], 0, own.low_slope)
        rows, more = found.chain.back(rows, place)
        added, end = added + more, found.chain.linear(place)
    return Rows(rows.flatten(1), tuple(units[place] for place in places), added)


def whole(problem: Condensed, m: int) -> Split:
    """All images inside the threat, m times."""
    boxes = [layer.box for layer in problem.layers]
    given = [rectified(layer.module, layer.box).low_slope for layer in problem.layers]
    like = [box.middle.expand(m, -1) for box in boxes]
    return Split(
        tuple(torch.zeros_like(one, dtype=torch.int8) for one in like),
        tuple(one.expand(m, -1) for one in given),
        tuple(torch.zeros_like(one) for one in like),
    )
