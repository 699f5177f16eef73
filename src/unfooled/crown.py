"""Linear bounds: each logit less the label's below a linear function of the pixels.

From the logits back to the pixels, a layer at a time: through a linear layer as it is, through one
that bends by whichever of its two lines makes the sum no less. The bounds of what each layer that
bends is given come first, in the same way, where interval bounds leave it open.

Source: CROWN, Zhang et al. 2018, https://arxiv.org/abs/1811.00866, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unfooled import interval
from unfooled.interval import Box
from unfooled.layers import Standardise
from unfooled.lines import Lines, bends, bent, lines
from unfooled.maxima import Largest
from unfooled.region import Cuboid, Region, region
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat

_AT_ONCE = 2**18  # numbers in the largest layer's rows: they stay in the cache
_WHOLE = 2**23  # numbers in the matrix of a few layers, at most, that is kept


Rows = Float[Tensor, "m ..."]  # one for each product of which a bound is wanted
Of = Int64[Tensor, " m"]  # the image that each row belongs to


@dataclass(frozen=True)
class Chain:
    """The layers of a frozen network, to be walked backwards.

    Attributes:
        steps: the layers.
        shapes: of what each is given, without the images' axis.
        shifts: what each linear layer gives for 0; None where it bends.
        kept: for the place of a layer that bends, every number that it is given as a row for what
            the linear layers in front of it are given, and what is added; where that is small.
    """

    steps: tuple[nn.Module, ...]
    shapes: tuple[torch.Size, ...]
    shifts: tuple[Tensor | None, ...]
    kept: dict[int, tuple[Rows, PerImage]]

    @property
    def together(self) -> int:
        """Rows that are walked back at once."""
        return max(2, _AT_ONCE // max(shape.numel() for shape in self.shapes))

    def linear(self, end: int) -> int:
        """The first of the linear layers in front of layer `end`."""
        while end > 0 and self.shifts[end - 1] is not None:
            end -= 1
        return end

    def back(self, rows: Rows, end: int) -> tuple[Rows, PerImage]:
        """Rows for what those linear layers are given, from rows for `end`, and what is added."""
        added = rows.new_zeros(len(rows))
        for place in reversed(range(self.linear(end), end)):
            step, shift = self.steps[place], self.shifts[place]
            if shift is not None:
                added = added + rows.flatten(1) @ shift.flatten()
            rows = _BACK[type(step)](step, rows, self.shapes[place])
        return rows, added

    def units(self, end: int, which: Int64[Tensor, " m"]) -> tuple[Rows, PerImage]:
        """The same for single numbers that layer `end` is given."""
        if end in self.kept:
            rows, added = self.kept[end]
            return rows[which], added[which]
        rows = F.one_hot(which, self.shapes[end].numel()).to(_dtype(self.shifts))
        return self.back(rows.view(-1, *self.shapes[end]), end)


@dataclass(frozen=True)
class Known:
    """What is known of n images: where they lie, and what each layer that bends is given.

    Attributes:
        chain: the network.
        region: the images inside the threat.
        boxes: by the place of each layer that bends.
        lines: of those layers, from the boxes.
    """

    chain: Chain
    region: Region
    boxes: dict[int, Box]
    lines: dict[int, Lines | Largest]

    def upper(self, rows: Rows, end: int) -> PerImage:
        """Upper bounds of the product of each row with what layer `end` is given.

        Args:
            rows: one for each image, or any number for a single image.
        """
        rows, added = self.chain.back(rows, end)
        end = self.chain.linear(end)
        while end > 0:
            rows, more = self.lines[end - 1].back(rows)
            added = added + more
            rows, more = self.chain.back(rows, end - 1)
            added, end = added + more, self.chain.linear(end - 1)
        return added + self.region.reach(rows)

    def at(self, of: Of) -> "Known":
        """What is known of these images, which may come several times."""
        return replace(
            self,
            region=self.region.at(of),
            boxes={place: box.at(of) for place, box in self.boxes.items()},
            lines={place: one.at(of) for place, one in self.lines.items()},
        )

    def given(self, place: int, box: Box) -> "Known":
        """With the box of one more layer."""
        more = lines(self.chain.steps[place], box)
        return replace(self, boxes={**self.boxes, place: box}, lines={**self.lines, place: more})


def chain(model: nn.Module, images: Images) -> Chain:
    """The layers of a frozen model, and the shapes that such images take on the way.

    Raises:
        InvalidModel: there are no bounds for one of its layers.
    """
    steps, shapes, shifts = tuple(interval.leaves(model)), [], list[Tensor | None]()
    numbers = torch.zeros_like(images[:1])
    for step in steps:
        shapes.append(numbers.shape[1:])
        interval.through(step, Box(numbers, numbers))
        numbers = step(torch.zeros_like(numbers))
        shifts.append(None if bends(step) else numbers[0])
    found = Chain(steps, tuple(shapes), tuple(shifts), {})
    for place, step in enumerate(steps):
        first, size = found.linear(place), shapes[place].numel()
        if bends(step) and first and size * shapes[first].numel() <= _WHOLE:
            every = torch.arange(size, device=images.device).split(found.together)
            parts = [found.units(place, which) for which in every]
            rows, added = zip(*parts, strict=True)
            found.kept[place] = torch.cat(rows), torch.cat(added)
    return found


def known(network: Chain, images: Images, threat: Threat) -> Known:
    """The bounds of all that bends, layer by layer.

    Raises:
        InvalidThreat: the threat is neither of Linf nor of L2, or eps is infinite.
    """
    found = Known(network, region(images, threat), {}, {})
    box = found.region.box
    for place, step in enumerate(network.steps):
        if bends(step):
            box = _tightened(found, box, place)
            found = found.given(place, box)
        box = interval.through(step, box)
    return found


def margins(
    model: nn.Module, images: Images, labels: Labels, threat: Threat
) -> Float[Tensor, "n k"]:
    """Upper bounds of each logit less the label's, over every image inside the threat.

    0 in the label's own column. No worse than `interval.margins`.

    Args:
        model: as for `interval.margins`, frozen.
        threat: Linf or L2.

    Raises:
        InvalidModel: there are no bounds for one of its layers.
        InvalidThreat: it is neither of Linf nor of L2, or eps is infinite.
    """
    with torch.no_grad():
        network = chain(model, images)
        found = known(network, images, threat)
        classes = model(images[:1]).shape[1]
        of, wrong = others(labels, classes)
        bound = above(found, of, wrong, labels[of], classes)
        worst = torch.zeros(len(images), classes, dtype=images.dtype, device=images.device)
        worst[of, wrong] = bound
        if threat.norm == "Linf":
            worst = torch.minimum(worst, interval.margins(model, images, labels, threat))
    return worst


def above(
    found: Known, of: Int64[Tensor, " m"], wrong: Labels, labels: Labels, classes: int
) -> PerImage:
    """Upper bounds of the logit of a wrong class less that of the label, image by image."""
    bounds = [found.region.box.middle.new_zeros(0)]
    for part in torch.arange(len(of), device=of.device).split(found.chain.together):
        rows = apart(wrong[part], labels[part], classes).to(bounds[0])
        bounds.append(found.at(of[part]).upper(rows, len(found.chain.steps)))
    return torch.cat(bounds)


def apart(wrong: Labels, labels: Labels, classes: int) -> Int64[Tensor, "m k"]:
    """Rows that give the logit of a wrong class less that of the label."""
    return F.one_hot(wrong, classes) - F.one_hot(labels, classes)


def others(labels: Labels, classes: int) -> tuple[Int64[Tensor, " m"], Labels]:
    """Every image, by its place, with every class but its own."""
    other = torch.ones(len(labels), classes, dtype=torch.bool, device=labels.device)
    found = other.scatter(1, labels[:, None], value=False).nonzero()
    return found[:, 0], found[:, 1]


def _tightened(found: Known, box: Box, place: int) -> Box:
    """The box of what a layer that bends is given, tighter where it is not a line in it."""
    network, shape = found.chain, box.middle.shape
    low, high = box.low.flatten(1), box.high.flatten(1)
    first = network.linear(place)
    if first == 0:
        low, high = _of_pixels(found, low, high, place)
        if isinstance(found.region, Cuboid):
            return _ordered(low.view(shape), high.view(shape))
    open_ = bent(network.steps[place], _ordered(low, high))
    for image in open_.any(1).nonzero()[:, 0].tolist():
        own = found.at(torch.tensor([image], device=low.device))
        for which in open_[image].nonzero()[:, 0].split(network.together // 2):
            rows, added = network.units(place, which)
            both = own.upper(torch.cat([rows, -rows]), first)
            up, down = (both + torch.cat([added, -added])).chunk(2)
            high[image, which] = torch.minimum(high[image, which], up)
            low[image, which] = torch.maximum(low[image, which], -down)
    return _ordered(low.view(shape), high.view(shape))


def _of_pixels(
    found: Known, low: Float[Tensor, "n d"], high: Float[Tensor, "n d"], place: int
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Tighter where only linear layers come before: the same rows for all images."""
    lows, highs = [], []
    for which in torch.arange(low.shape[1], device=low.device).split(found.chain.together):
        rows, added = found.chain.units(place, which)
        highs.append(found.region.reach_all(rows) + added)
        lows.append(added - found.region.reach_all(-rows))
    return torch.maximum(low, torch.cat(lows, 1)), torch.minimum(high, torch.cat(highs, 1))


def _ordered(low: Tensor, high: Tensor) -> Box:
    """Where rounding has them cross, they are one number."""
    return Box((low + high) / 2, ((high - low) / 2).clamp_min(0))


def _dtype(shifts: tuple[Tensor | None, ...]) -> torch.dtype:
    return next(shift.dtype for shift in shifts if shift is not None)


def _scaled(module: Standardise, rows: Rows, _: torch.Size) -> Rows:
    return rows / module.std


def _convolved(module: nn.Conv2d, rows: Rows, shape: torch.Size) -> Rows:
    if isinstance(module.padding, str):
        return _any(module, rows, shape)
    # Several sizes of input lead to this size of output; the padding of the output tells which.
    missing = [
        given - ((out - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1)
        for given, out, stride, pad, dilation, kernel in zip(
            shape[1:],
            rows.shape[2:],
            module.stride,
            module.padding,
            module.dilation,
            module.kernel_size,
            strict=True,
        )
    ]
    return F.conv_transpose2d(
        rows,
        module.weight,
        None,
        module.stride,
        module.padding,
        missing,
        module.groups,
        module.dilation,
    )


def _multiplied(module: nn.Linear, rows: Rows, _: torch.Size) -> Rows:
    return rows @ module.weight


def _normalised(module: nn.BatchNorm2d, rows: Rows, _: torch.Size) -> Rows:
    return rows * interval.factor(module)


def _flattened(_: nn.Module, rows: Rows, shape: torch.Size) -> Rows:
    return rows.reshape(-1, *shape)


def _same(_: nn.Module, rows: Rows, __: torch.Size) -> Rows:
    return rows


def _any(module: nn.Module, rows: Rows, shape: torch.Size) -> Rows:
    """Any linear layer, by its gradient."""
    zeros = rows.new_zeros(len(rows), *shape)
    _, pulled = torch.func.vjp(lambda given: module(given) - module(zeros), zeros)
    found: Rows = pulled(rows)[0]
    return found


_BACK: dict[type[nn.Module], Callable[[Any, Rows, torch.Size], Rows]] = {
    Standardise: _scaled,
    nn.Conv2d: _convolved,
    nn.Linear: _multiplied,
    nn.BatchNorm2d: _normalised,
    nn.AvgPool2d: _any,
    nn.Flatten: _flattened,
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), _same),
}
