"""One image's network without what its bounds decide: only the ReLUs that are still open are left.

Where a ReLU is on one side of 0 for every image inside the threat, it is a line. What remains is
small enough that slopes and splits can be tried by the hundred.

Source: slopes, Xu et al. 2021, https://arxiv.org/abs/2011.13824, section 3.1; splits and their
multipliers, Wang et al. 2021, https://arxiv.org/abs/2103.06624, section 3.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor, nn

from unfooled.crown import Known
from unfooled.interval import Box
from unfooled.lines import Lines, bent, leak, rectified
from unfooled.region import Region
from unfooled.shapes import Images, Mask, PerImage

_SPEED = 0.1  # Adam's, of slopes, which lie between 0 and 1
_SLOWER = 0.97  # each step


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


@dataclass(frozen=True)
class Bounded:
    """Upper bounds, and how they came about.

    Attributes:
        bounds: of each row, each over its part.
        split: with the slopes and pushes of these bounds.
        units: factors that the open ReLUs' outputs had in the last step.
        farthest: an image for each row, where it may be large.
    """

    bounds: PerImage
    split: Split
    units: tuple[Float[Tensor, "m _"], ...]
    farthest: Images


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
            Layer(found.chain.steps[place], _cut(found, rows, added, first, open_, before), own)
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
        slope = rectified(found.chain.steps[place], found.boxes[place]).low_slope
        rows = rows * torch.where(open_[place], 0, slope)
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


def lowered(problem: Condensed, rows: Rows, split: Split, steps: int) -> Bounded:
    """Upper bounds of each row over its part, the lowest that so many steps find.

    The first is that of the slopes and pushes as they come. Any slopes between the ReLU's own and 1
    and any pushes of at least 0 give bounds that hold.
    """
    depth = len(rows.units)
    signs = split.signs[:depth]
    used = [_lines(*two) for two in zip(problem.layers, signs, strict=False)]
    slopes = [one.clone() for one in split.slopes[:depth]]
    pushes = [one.clone() for one in split.pushes[:depth]]
    optimiser = torch.optim.Adam([*slopes, *pushes], lr=_SPEED) if depth else None
    best = rows.added.new_full((len(rows.added),), torch.inf)
    keep = [slopes, pushes]
    for step in range(steps + 1):
        last = step == steps or optimiser is None
        with torch.set_grad_enabled(not last):
            for one in (*slopes, *pushes):
                one.requires_grad_(not last)
            pixels, added, units = _walked(problem, rows, used, slopes, signs, pushes)
            bounds = added + problem.region.reach(_images(problem, pixels))
        better = bounds.detach() < best
        best = torch.where(better, bounds.detach(), best)
        now = [[one.detach().clone() for one in some] for some in (slopes, pushes)]
        keep = now if step == 0 else _chosen(better, now, keep)
        if last or optimiser is None:
            break
        optimiser.zero_grad()
        with torch.enable_grad():
            bounds.sum().backward()
        optimiser.step()
        optimiser.param_groups[0]["lr"] *= _SLOWER
        with torch.no_grad():
            for layer, one in zip(problem.layers, slopes, strict=False):
                one.clamp_(leak(layer.module), 1)
            for one in pushes:
                one.clamp_min_(0)
    kept = Split(split.signs, *(tuple(some) for some in keep))
    return Bounded(best, kept, units, problem.region.farthest(_images(problem, pixels.detach())))


def tightened(problem: Condensed, steps: int) -> Condensed:
    """With the boxes of all layers but the first made smaller by so many steps."""
    for place, layer in enumerate(problem.layers):
        if not any(one.shape[1] for one in layer.rows.units):
            continue
        m = layer.box.middle.shape[1]
        up = lowered(problem, layer.rows, whole(problem, m), steps).bounds
        down = lowered(problem, -layer.rows, whole(problem, m), steps).bounds
        low = torch.maximum(layer.box.low, -down[None])
        high = torch.maximum(torch.minimum(layer.box.high, up[None]), low)
        smaller = replace(layer, box=Box.between(low, high))
        layers = (*problem.layers[:place], smaller, *problem.layers[place + 1 :])
        problem = replace(problem, layers=layers)
    return problem


def _walked(
    problem: Condensed,
    rows: Rows,
    used: Sequence[Lines],
    slopes: Sequence[Tensor],
    signs: Sequence[Tensor],
    pushes: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Factors of the pixels, constants, and the factors that each layer's outputs had."""
    pixels, added, left = rows.pixels, rows.added, list(rows.units)
    for place in reversed(range(len(left))):
        one, given = used[place], problem.layers[place].rows
        # Where the two lines differ, any slope between will do.
        low = torch.where(one.high_at > 0, slopes[place], one.low_slope)
        through, more = replace(one, low_slope=low).back(left[place])
        through = through + signs[place] * pushes[place]
        pixels = pixels + through @ given.pixels
        added = added + more + through @ given.added
        for before, factors in enumerate(given.units):
            left[before] = left[before] + through @ factors
    return pixels, added, tuple(one.detach() for one in left)


def _lines(layer: Layer, signs: Int8[Tensor, "m u"]) -> Lines:
    low = torch.where(signs > 0, layer.box.low.clamp_min(0), layer.box.low)
    high = torch.where(signs < 0, layer.box.high.clamp_max(0), layer.box.high)
    return rectified(layer.module, Box.between(low, high))


def _images(problem: Condensed, pixels: Tensor) -> Images:
    return pixels.view(-1, *problem.region.box.middle.shape[1:])


def _chosen(
    better: Mask, now: Sequence[Sequence[Tensor]], keep: Sequence[Sequence[Tensor]]
) -> list[list[Tensor]]:
    return [
        [torch.where(better[:, None], *two) for two in zip(*some, strict=True)]
        for some in zip(now, keep, strict=True)
    ]
