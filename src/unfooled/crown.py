"""Linear bounds: each logit less the label's below a linear function of the pixels.

From the logits back to the pixels, a layer at a time: through a linear layer as it is, through one
that bends by whichever of its two lines makes the sum no less. The bounds of what each layer that
bends is given come first, in the same way, where interval bounds leave it open.

Source: CROWN, Zhang et al. 2018, https://arxiv.org/abs/1811.00866, section 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unfooled import interval
from unfooled.backward import Chain, Rows, chain
from unfooled.interval import Box
from unfooled.lines import Lines, bends, bent, lines
from unfooled.maxima import Largest
from unfooled.region import Cuboid, Region, region
from unfooled.shapes import Images, Labels, PerImage
from unfooled.threat import Threat

Of = Int64[Tensor, " m"]  # for each row: an image by its place, or a class


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


def above(found: Known, of: Of, wrong: Of, labels: Of, classes: int) -> PerImage:
    """Upper bounds of the logit of a wrong class less that of the label, image by image."""
    bounds = [found.region.box.middle.new_zeros(0)]
    for part in torch.arange(len(of), device=of.device).split(found.chain.together):
        rows = apart(wrong[part], labels[part], classes).to(bounds[0])
        bounds.append(found.at(of[part]).upper(rows, len(found.chain.steps)))
    return torch.cat(bounds)


def apart(wrong: Of, labels: Of, classes: int) -> Int64[Tensor, "m k"]:
    """Rows that give the logit of a wrong class less that of the label."""
    return F.one_hot(wrong, classes) - F.one_hot(labels, classes)


def others(labels: Labels, classes: int) -> tuple[Of, Of]:
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
        if type(found.region) is Cuboid:  # of which that is all there is to know
            return _ordered(low.view(shape), high.view(shape))
    now = _ordered(low.view(shape), high.view(shape))
    open_ = bent(network.steps[place], now).flatten(1)
    for image in open_.any(1).nonzero()[:, 0].tolist():
        own = found.at(torch.tensor([image], device=low.device))
        for which, down, up in _each(own, place, open_[image]):
            high[image, which] = torch.minimum(high[image, which], up)
            low[image, which] = torch.maximum(low[image, which], down)
    return _ordered(low.view(shape), high.view(shape))


def _each(
    own: Known, place: int, open_: Bool[Tensor, " d"]
) -> Iterator[tuple[Of, Float[Tensor, " m"], Float[Tensor, " m"]]]:
    """Some numbers that a layer is given, for a single image; what each is at least and at most."""
    network, first = own.chain, own.chain.linear(place)
    before = own.lines.get(first - 1)
    if place in network.windows and isinstance(before, Lines):
        yield network.windows[place].bounds(before, own.region, open_)
        return
    for which in open_.nonzero()[:, 0].split(network.together // 2):
        rows, added = network.units(place, which)
        both = own.upper(torch.cat([rows, -rows]), first)
        up, down = (both + torch.cat([added, -added])).chunk(2)
        yield which, -down, up


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
