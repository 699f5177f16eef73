"""A max-pool, held between linear functions of what it is given.

It is no less than the member of its window that is surely largest, or has the largest lower bound.
It is that member where no other can come above it, and no more than the largest upper bound
elsewhere.

Source: Singh et al. 2019, https://doi.org/10.1145/3290354, section 4.4.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unfooled.interval import Box
from unfooled.shapes import PerImage


@dataclass(frozen=True)
class Largest:
    """A max-pool between linear functions.

    Attributes:
        size: high and wide, of what it is given.
        member: the one with the largest lower bound, by its place in the channel.
        sure: whether that is the largest.
        top: the largest upper bound.
    """

    size: tuple[int, int]
    member: Int64[Tensor, "n c o"]
    sure: Bool[Tensor, "n c o"]
    top: Float[Tensor, "n c o"]

    def back(self, rows: Float[Tensor, "m c p q"]) -> tuple[Float[Tensor, "m c h w"], PerImage]:
        """As `Lines.back`."""
        flat = rows.flatten(2)
        high = torch.where(self.sure, 0, flat.clamp_min(0))
        found = flat.new_zeros(*flat.shape[:2], self.size[0] * self.size[1])
        found = found.scatter_add(2, self.member.expand_as(flat), flat - high)
        return found.view(*flat.shape[:2], *self.size), (high * self.top).flatten(1).sum(1)

    def at(self, of: Int64[Tensor, " m"]) -> "Largest":
        """As `Lines.at`."""
        return Largest(self.size, self.member[of], self.sure[of], self.top[of])


def largest(module: nn.MaxPool2d, box: Box) -> Largest:
    """What holds a max-pool whose input lies in a box."""
    members = _members(module, box)
    low, high = box.low.flatten(2)[:, :, members], box.high.flatten(2)[:, :, members]
    floor, best = low.max(2)
    member = members.t()[torch.arange(members.shape[1], device=best.device), best]
    rivals = high.masked_fill(members == member[:, :, None], -torch.inf).amax(2)
    size = (int(box.middle.shape[2]), int(box.middle.shape[3]))
    return Largest(size, member, rivals <= floor, high.amax(2))


def contested(module: nn.MaxPool2d, box: Box) -> Bool[Tensor, "n c h w"]:
    """The numbers of which each may be the largest of a window, and another too."""
    members, found = _members(module, box), largest(module, box)
    low, high = box.low.flatten(2)[:, :, members], box.high.flatten(2)[:, :, members]
    may = (high > low.amax(2, keepdim=True)) & ~found.sure[:, :, None]
    may[:, :, :] |= (members == found.member[:, :, None]) & ~found.sure[:, :, None]
    shape = box.middle.shape
    places = members.flatten().expand(*shape[:2], -1)
    count = torch.zeros_like(box.middle).flatten(2).scatter_add(2, places, may.flatten(2).to(low))
    return (count > 0).view(shape)


def _members(module: nn.MaxPool2d, box: Box) -> Int64[Tensor, "k o"]:
    """The places in a channel that each window looks at; one of its own instead of the padding."""
    high, wide = box.middle.shape[2:]
    numbers = torch.arange(1, high * wide + 1, device=box.middle.device).view(1, 1, high, wide)
    out = module(torch.zeros_like(box.middle[:1, :1])).shape[2:]
    kernel, stride, padding, dilation = (
        _pair(one) for one in (module.kernel_size, module.stride, module.padding, module.dilation)
    )
    # With `ceil_mode` the last windows reach beyond what a padding on both sides adds.
    whole = [
        max((o - 1) * s + d * (k - 1) + 1, p + size)
        for o, s, d, k, p, size in zip(
            out, stride, dilation, kernel, padding, (high, wide), strict=True
        )
    ]
    below, right = whole[0] - padding[0] - high, whole[1] - padding[1] - wide
    laid = F.pad(numbers.double(), (padding[1], right, padding[0], below))
    places = F.unfold(laid, kernel, dilation, 0, stride)[0].long()
    rows = (laid.shape[2] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    windows = places.view(len(places), rows, -1)[:, : out[0], : out[1]].flatten(1)
    return torch.where(windows > 0, windows, windows.amax(0)) - 1


def _pair(given: int | tuple[int, int]) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else given
