"""What a convolution is given, window by window: all channels at a place see the same few numbers.

A row for one of them is as short as its window, and its way back to the pixels is one small matrix
for all channels. Walked as images, such rows would be almost all zeros.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unfooled.lines import Lines
from unfooled.region import Region

_LARGEST = 2**23  # numbers in all matrices together
_SHARE = 0.25  # of all numbers, at most, in a window: else rows are not much shorter


@dataclass(frozen=True)
class Windows:
    """Numbers behind a layer that bends number by number, which linear layers lead up to.

    Attributes:
        units: which numbers share a window.
        seen: what the window sees of the layer that bends.
        rows, added: the numbers by what that layer gives.
        pixels: what is seen of the image.
        through, shifts: what that layer is given, by the pixels.
    """

    units: Int64[Tensor, "g c"]
    seen: Int64[Tensor, "g k"]
    rows: Float[Tensor, "g c k"]
    added: Float[Tensor, "g c"]
    pixels: Int64[Tensor, "g p"]
    through: Float[Tensor, "g k p"]
    shifts: Float[Tensor, "g k"]

    def bounds(
        self, lines: Lines, region: Region, open_: Bool[Tensor, " d"]
    ) -> tuple[Int64[Tensor, " m"], Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Which numbers, at least those that are open; and what each is at least and at most.

        Args:
            lines: of the layer that bends, for a single image.
            region: of that image.
        """
        wanted = open_[self.units]
        count = int(wanted.sum(1).max())
        chosen = wanted.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
        rows = self.rows.gather(1, chosen[:, :, None].expand(-1, -1, self.rows.shape[2]))
        added = self.added.gather(1, chosen)
        low_slope, low_at, high_slope, high_at = (
            one.flatten()[self.seen][:, :, None] for one in vars(lines).values()
        )
        high = rows.clamp_min(0)
        low = rows - high
        found = []
        for sign, up, down in ((1, high, low), (-1, -low, -high)):
            slopes = up * high_slope.mT + down * low_slope.mT
            constant = (up @ high_at + down @ low_at + slopes @ self.shifts[:, :, None])[:, :, 0]
            reach = self._reach(region, slopes @ self.through)
            found.append(sign * (reach + constant) + added)
        most, least = found
        return self.units.gather(1, chosen).flatten(), least.flatten(), most.flatten()

    def _reach(self, region: Region, rows: Float[Tensor, "g m p"]) -> Float[Tensor, "g m"]:
        groups, each, width = rows.shape
        of = torch.arange(groups, device=rows.device).repeat_interleave(each)
        parts = region.parts(self.pixels).at(of)
        return parts.reach(rows.reshape(-1, 1, 1, width)).view(groups, each)


def windows(
    shape: torch.Size,
    rows: Float[Tensor, "d k"],
    added: Float[Tensor, " d"],
    through: Float[Tensor, "k p"],
    shifts: Float[Tensor, " k"],
) -> Windows | None:
    """The windows of numbers with the shape of an image; None where they are too large.

    Args:
        rows, added: the numbers by what a layer that bends gives.
        through, shifts: what that layer is given, by the pixels.
    """
    if len(shape) != 3:
        return None
    places = int(shape[1] * shape[2])
    units = torch.arange(shape.numel(), device=rows.device).view(shape[0], places).t()
    used = torch.stack([(rows[own] != 0).any(0) for own in units])
    size = int(used.sum(1).max())
    if size == 0 or size > _SHARE * rows.shape[1]:
        return None
    seen = used.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :size]
    linked = through != 0
    met = torch.stack([linked[own].any(0) for own in used])
    width = max(1, int(met.sum(1).max()))
    if places * size * width > _LARGEST:
        return None
    pixels = met.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
    return Windows(
        units,
        seen,
        rows[units[:, :, None], seen[:, None, :]],
        added[units],
        pixels,
        # Windows at the border are made up by numbers that have no part in them.
        through[seen[:, :, None], pixels[:, None, :]] * used.gather(1, seen)[:, :, None],
        shifts[seen],
    )
