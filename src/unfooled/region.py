"""The images inside a threat, as linear bounds meet them: how high can a linear function get?"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unfooled.errors import InvalidThreat
from unfooled.interval import Box, around
from unfooled.shapes import Images, PerImage
from unfooled.threat import Threat

_STEPS = 5  # towards the best multiplier; each one gives a bound that holds


@runtime_checkable
class Region(Protocol):
    """For each of n images, the images inside the threat around it."""

    @property
    def box(self) -> Box:
        """Numbers between which each pixel lies."""

    def at(self, of: Int64[Tensor, " m"]) -> "Region":
        """The regions at these places, which may come several times."""

    def parts(self, pixels: Int64[Tensor, "g p"]) -> "Region":
        """Of a single image, these pixels alone, as images in one line."""

    def reach(self, rows: Images) -> PerImage:
        """An upper bound of the product of each row with each image of its own region."""

    def reach_all(self, rows: Float[Tensor, "r c h w"]) -> Float[Tensor, "n r"]:
        """The same of every row in every region; it may be less tight."""

    def farthest(self, rows: Images) -> Images:
        """An image of each region where the product with its row is large."""


def region(images: Images, threat: Threat) -> Region:
    """The images inside the threat around each image.

    Raises:
        InvalidThreat: the norm is neither Linf nor L2, or eps is infinite.
    """
    if threat.norm not in ("Linf", "L2"):
        raise InvalidThreat(f"linear bounds are for Linf and L2; {threat.norm} came")
    threat.bounded()
    box = around(images, threat.eps)
    return Cuboid(box) if threat.norm == "Linf" else Ball(box, images, threat.eps)


@dataclass(frozen=True)
class Cuboid:
    """Linf, cut to [0, 1]: every pixel lies between two numbers."""

    box: Box

    def at(self, of: Int64[Tensor, " m"]) -> "Cuboid":
        return Cuboid(self.box.at(of))

    def parts(self, pixels: Int64[Tensor, "g p"]) -> "Cuboid":
        return Cuboid(_parts(self.box, pixels))

    def reach(self, rows: Images) -> PerImage:
        middle, radius = self.box.middle.flatten(1), self.box.radius.flatten(1)
        flat = rows.flatten(1)
        return (flat * middle).sum(1) + (flat.abs() * radius).sum(1)

    def reach_all(self, rows: Float[Tensor, "r c h w"]) -> Float[Tensor, "n r"]:
        flat = rows.flatten(1)
        middle, radius = self.box.middle.flatten(1), self.box.radius.flatten(1)
        return middle @ flat.t() + radius @ flat.abs().t()

    def farthest(self, rows: Images) -> Images:
        return self.box.middle + self.box.radius * rows.sign()


@dataclass(frozen=True)
class Ball:
    """L2, cut to [0, 1].

    The largest product with a row a over the changes d in the ball and the box is at most, for
    every multiplier m >= 0,

        m eps^2 / 2 + sum_i max over d_i in the box of (a_i d_i - m d_i^2 / 2),

    the Lagrangian of d.d <= eps^2. At m = |a| / eps it is no more than the ball's own eps |a|; at
    m = 0 it is the box's. Between the two it falls and rises again, and a few steps find a place
    near the lowest. Where many pixels are black or white, it is far below both.
    """

    box: Box
    images: Images
    eps: float

    def at(self, of: Int64[Tensor, " m"]) -> "Ball":
        return Ball(self.box.at(of), self.images[of], self.eps)

    def parts(self, pixels: Int64[Tensor, "g p"]) -> "Ball":
        return Ball(_parts(self.box, pixels), _line(self.images, pixels), self.eps)

    def reach(self, rows: Images) -> PerImage:
        start, flat = self.images.flatten(1), rows.flatten(1)
        low, high = self._changes()
        best = (flat.clamp_min(0) * high + flat.clamp_max(0) * low).sum(1)
        multiplier = flat.detach().norm(dim=1) / max(self.eps, 1e-30)
        for _ in range(_STEPS):
            m = multiplier.clamp_min(1e-30)[:, None]
            change = torch.minimum(torch.maximum(flat / m, low), high).detach()
            bound = m[:, 0] * self.eps**2 / 2 + (flat * change - m * change.square() / 2).sum(1)
            best = torch.minimum(best, bound)
            multiplier = self._next(flat.detach(), change, low, high)
        found: PerImage = (flat * start).sum(1) + best
        return found

    def reach_all(self, rows: Float[Tensor, "r c h w"]) -> Float[Tensor, "n r"]:
        flat = rows.flatten(1)
        found: Tensor = self.images.flatten(1) @ flat.t() + self.eps * flat.norm(dim=1)
        return found

    def farthest(self, rows: Images) -> Images:
        flat = rows.flatten(1)
        low, high = self._changes()
        change = flat * (self.eps / flat.norm(dim=1, keepdim=True).clamp_min(1e-30))
        for _ in range(_STEPS):
            change = torch.minimum(torch.maximum(change, low), high)
            short = self.eps / change.norm(dim=1, keepdim=True).clamp_min(1e-30)
            change = torch.minimum(torch.maximum(change * short, low), high)
        found: Images = self.images + change.view_as(rows)
        return found

    def _changes(self) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        start = self.images.flatten(1)
        return self.box.low.flatten(1) - start, self.box.high.flatten(1) - start

    def _next(
        self,
        flat: Float[Tensor, "n d"],
        change: Float[Tensor, "n d"],
        low: Float[Tensor, "b d"],
        high: Float[Tensor, "b d"],
    ) -> PerImage:
        """The multiplier at which the pixels that are free now would use up what is left of eps."""
        free = (change > low) & (change < high)
        spent = torch.where(free, 0, change).square().sum(1)
        left = (self.eps**2 - spent).clamp_min(1e-30).sqrt()
        found: PerImage = torch.where(free, flat, 0).norm(dim=1) / left
        return found


def _line(numbers: Images, pixels: Int64[Tensor, "g p"]) -> Float[Tensor, "g 1 1 p"]:
    return numbers.flatten()[pixels][:, None, None]


def _parts(box: Box, pixels: Int64[Tensor, "g p"]) -> Box:
    return Box(_line(box.middle, pixels), _line(box.radius, pixels))
