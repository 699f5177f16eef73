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

from unfooled.errors import InvalidModel
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
    """What holds a max-pool whose input lies in a box.

    Raises:
        InvalidModel: it rounds the size of its output up.
    """
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
    if module.ceil_mode:
        raise InvalidModel("linear bounds need a MaxPool2d without ceil_mode")
    high, wide = box.middle.shape[2:]
    numbers = torch.arange(1, high * wide + 1, device=box.middle.device).view(1, 1, high, wide)
    windows = F.unfold(
        numbers.double(), module.kernel_size, module.dilation, module.padding, module.stride
    )[0].long()
    return torch.where(windows > 0, windows, windows.amax(0)) - 1
