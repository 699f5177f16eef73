"""Chance that belongs to an image, not to the batch, the order or the worker it was in.

Every number is a hash (SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators", section 3) of the seed, the purpose, the image's id and the number's place
within the image. No generator holds a state, so nothing can be drawn in the wrong order.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unfooled.shapes import Labels, Mask

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, as the int64 that torch computes with
_ROUNDS = ((30, -4658895280553007687), (27, -7723592293110705685))
# 23 bits: (2 k + 1) / 2^24 and twice that less one are then exact in float32.
_BITS = 23
_EACH_BIT = torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8)


def _mixed(state: Tensor) -> Tensor:
    """The SplitMix64 finaliser, in place; torch has no unsigned shift, hence the masks."""
    for shift, factor in _ROUNDS:
        state ^= (state >> shift) & ((1 << (64 - shift)) - 1)
        state *= factor
    state ^= (state >> 31) & ((1 << 33) - 1)
    return state


def _hashed(*words: object) -> int:
    """A signed 64-bit number that depends on the words and on nothing else."""
    text = "\x1f".join(map(repr, words)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


@dataclass(frozen=True)
class Draws:
    """Random numbers for images with known ids.

    Attributes:
        seed: of the whole experiment.
        purpose: what the numbers are for; two purposes are independent of each other.
        ids: one for each image of the batch; None numbers the images of a batch from 0.
    """

    seed: int
    purpose: str = ""
    ids: Labels | None = None

    def step(self, name: object) -> "Draws":
        """Numbers for a part of the purpose, independent of every other part's."""
        return replace(self, purpose=f"{self.purpose}/{name}")

    def at(self, ids: Labels) -> "Draws":
        """The same numbers, for images with these ids."""
        return replace(self, ids=ids)

    def keep(self, which: Mask | Int64[Tensor, " m"]) -> "Draws":
        """The numbers of those images of the batch that a mask keeps, or at these places of it.

        Draws without ids number the images of a batch from 0.
        """
        if self.ids is not None:
            return replace(self, ids=self.ids[which.to(self.ids.device)])
        return replace(self, ids=which.nonzero()[:, 0] if which.dtype == torch.bool else which)

    def number(self) -> int:
        """One non-negative 63-bit number for the purpose as a whole."""
        return _hashed(self.seed, self.purpose) & (2**63 - 1)

    def _keys(self, ids: Labels) -> Labels:
        return _mixed(ids * _GOLDEN + _hashed(self.seed, self.purpose))

    def _words(self, like: Float[Tensor, "n ..."], each: int) -> Int64[Tensor, "n m"]:
        """So many hashes for each image."""
        ids = torch.arange(len(like)) if self.ids is None else self.ids
        keys = self._keys(ids.to(like.device))
        places = torch.arange(1, each + 1, device=like.device) * _GOLDEN
        return _mixed(keys[:, None] + places)

    def _bits(self, like: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        bits = self._words(like, math.prod(like.shape[1:]))
        return ((bits >> (64 - _BITS)) & ((1 << _BITS) - 1)).view(like.shape).to(torch.float32)

    def uniform(self, like: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Numbers between 0 and 1, both excluded, in the shape of `like`."""
        return self._bits(like).mul_(2).add_(1).mul_(2.0 ** -(_BITS + 1))

    def normal(self, like: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Standard normal numbers, by the inverse of their distribution, in the shape of `like`."""
        centred = self._bits(like).mul_(2).add_(1 - 2**_BITS).mul_(2.0**-_BITS)
        return centred.erfinv_().mul_(math.sqrt(2))

    def signs(self, like: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """-1 or 1, each in half of the cases, in the shape of `like`; 64 of them from one hash."""
        each = math.prod(like.shape[1:])
        words = self._words(like, -(-each // 64))
        bits = words.view(torch.uint8)[..., None].bitwise_and(_EACH_BIT.to(like.device)) > 0
        return bits.flatten(1)[:, :each].reshape(like.shape).to(like.dtype).mul_(2).sub_(1)

    def order(self, n: int) -> Labels:
        """A random order of the numbers 0 to n - 1."""
        return torch.argsort(self._keys(torch.arange(n)))

    @contextmanager
    def torch_state(self, image: int | None = None) -> Iterator[None]:
        """Torch's global generator set by the purpose (and one image's id), put back afterwards.

        For code that can draw from nowhere else: initial weights, torchvision's transforms.
        """
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        with torch.random.fork_rng(devices):
            torch.manual_seed(_hashed(self.seed, self.purpose, image) & (2**63 - 1))
            yield
