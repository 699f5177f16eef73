"""What running out of memory looks like, and how work on many images goes on with fewer at once.

Images that do not look at each other may be worked on in any number. Where memory ends, what was
begun is let go and done again with half of them, and so on down to one. Chance belongs to an image
(`randomness.py`), so the answers are those of a larger machine, but for what rounding makes of the
size of a pass, in the last bit. A batch of a training cannot be halved: it is part of the recipe.
"""

import ctypes
import errno
import gc
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from unfooled.errors import OutOfMemory

_Found = TypeVar("_Found")

# Images in hand, at least and at most. Not a pass, which is smaller (`gradients.part_size`): with
# many in hand there are still enough for full passes when most of them have been fooled.
_LEAST, _MOST = 32, 1000
# Numbers in a tensor of all images in hand. On a CPU one of more than 32 MB, which twice as many
# bytes in double precision are, is given back to the system and zeroed again each time: on images
# of 3 x 64 x 64 that took as much time as all else of FGSM.
_IN_HAND = {"cpu": 2**21}
_ELSEWHERE = 2**27

# How those say it that have no exception for it: torch's allocator on the CPU, C++, CUDA and its
# libraries; and oneDNN, which compiles what it has found a way to do, and finds no room for that.
_SAID = re.compile(
    "can't allocate memory|out of memory|std::bad_alloc|ALLOC_FAILED"
    "|could not create a primitive(?! descriptor)"
)
_ASKED = re.compile(r"allocate ([\d.]+) ([KMGT]iB|bytes)")


@dataclass
class Room:
    """How many images memory has room for at once, as far as is known; it only shrinks.

    Attributes:
        most: images.
    """

    most: int

    def each(self, n: int, size: int, work: Callable[[slice], _Found]) -> Iterator[_Found]:
        """What comes of the work on n images, so many at once; fewer from where memory ended on.

        Args:
            n: images.
            size: at first, at least 1.
            work: on the images of a slice. It is done again on half of them, so what it changes
                elsewhere must be the last that it does.

        Raises:
            OutOfMemory: memory has no room for one image.
        """
        start = 0
        while start < n:
            part = slice(start, min(start + size, n))
            found = _tried(work, part)
            if found is None:
                size = self.most = -(-(part.stop - start) // 2)
            else:
                start = part.stop
                # Popped, so that this frame does not hold the result while the next is made.
                yield found.pop()


def each(n: int, size: int, work: Callable[[slice], _Found]) -> Iterator[_Found]:
    """As `Room.each`, where nothing is kept in mind for later."""
    return Room(size).each(n, size, work)


def hand(shape: torch.Size, device: torch.device) -> int:
    """How many images are worked on before the next are taken: memory does not grow with all.

    Args:
        shape: of one image.
        device: where they are worked on.
    """
    room = _IN_HAND.get(device.type, _ELSEWHERE) // max(1, shape.numel())
    return min(_MOST, max(_LEAST, room))


def evened(n: int, most: int) -> int:
    """The size of as few parts of n images as can be, all about alike: no last one of one image."""
    return -(-n // max(1, -(-n // most)))


def exhausted(error: BaseException) -> bool:
    """Whether memory ended: by this error, or by one that it was raised from."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | OutOfMemory):
        return True
    if isinstance(error, RuntimeError) and _SAID.search(str(error)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return error.__cause__ is not None and exhausted(error.__cause__)


@contextmanager
def needed(what: str, remedy: str) -> Iterator[None]:
    """Work that cannot be halved.

    Args:
        what: as in "memory has no room for WHAT".
        remedy: what would do, besides a machine with more memory.

    Raises:
        OutOfMemory: memory ended.
    """
    try:
        yield
    except OutOfMemory:  # of one image, which is closer to what is the matter
        raise
    except Exception as error:
        if not exhausted(error):
            raise
        raise OutOfMemory(_line(what, error, remedy)) from error


def _tried(work: Callable[[slice], _Found], part: slice) -> list[_Found] | None:
    """What comes of the work, alone in a list; None where memory ended, which is then as before."""
    try:
        return [work(part)]
    except Exception as error:
        if not exhausted(error):
            raise
        if part.stop - part.start == 1:
            if isinstance(error, OutOfMemory):
                raise
            line = _line("the work on one image", error, "fewer processes at once (--workers 1)")
            raise OutOfMemory(line) from error
        _let_go(error)
    _given_back()
    return None


def _let_go(error: BaseException) -> None:
    """Clear what the frames hold that an error came through; half of it would not fit beside it."""
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is not None:
            traceback.clear_frames(one.__traceback__)
            chain += [one.__cause__, one.__context__]


def _given_back() -> None:
    """What nobody holds is given back, also by allocators that keep it for what comes next.

    oneDNN takes the room for its code from the system, not from what glibc has kept.
    """
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim is not None:
            trim(0)


def _line(what: str, error: BaseException, remedy: str) -> str:
    asked = _ASKED.search(str(error))
    size = ""
    if asked is not None:
        number, unit = asked.groups()
        # Torch says so many bytes, all the others a few digits and a unit.
        number, unit = (f"{int(number) / 2**20:,.1f}", "MiB") if unit == "bytes" else (number, unit)
        size = f" ({number} {unit} more were asked for)"
    return f"memory has no room for {what}{size}; {remedy} or more memory would do"
