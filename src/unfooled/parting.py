"""Long work on many images, cut into jobs of some images each, and what comes of them joined.

How it is cut follows from the study alone, never from the number of workers: a study gives the same
files on one core and on a cluster. A part holds whole thousands of images, as many as are attacked
together anyway, so that cutting costs nothing.
"""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from unfooled.packing import Arrays
from unfooled.shapes import Labels

Part = tuple[int, int]  # its place, and of how many
WHOLE: Part = (0, 1)

_IMAGES = 1000  # a part, or a multiple of it
_PASSES = 200_000.0  # through the network a part, at least: seconds to minutes
_OF_ALL = ("attack", "norm", "eps", "names", "severities")  # the same in every part
_NAME = re.compile(r"(.+)-(\d+)of(\d+)")


def parts(images: int, passes: float) -> list[Part]:
    """The parts of a job.

    Args:
        images: that it is about.
        passes: of one image through the network that it takes in all.
    """
    many = max(1, min(math.ceil(images / _IMAGES), int(passes / _PASSES)))
    of = max(1, math.ceil(images / _size(images, many)))
    return [(place, of) for place in range(of)]


def share(ids: Labels, part: Part) -> Int64[Tensor, " m"]:
    """The images of a part, of all images of the job."""
    place, of = part
    size = _size(len(ids), of)
    return ids[place * size : (place + 1) * size]


def _size(images: int, of: int) -> int:
    return max(1, math.ceil(images / of / _IMAGES)) * _IMAGES


def name(job: str, part: Part) -> str:
    """The name of a part of a job: "plain-0-1-pgd-Linf-2of9", or the job's own for the whole."""
    place, of = part
    return job if part == WHOLE else f"{job}-{place + 1}of{of}"


def named(known: Iterable[str]) -> dict[str, list[str]]:
    """The names of all parts of each job that has all of them, in their order, by its name."""
    found: dict[str, dict[Part, str]] = {}
    for one in known:
        match = _NAME.fullmatch(one)
        job, part = (match[1], (int(match[2]) - 1, int(match[3]))) if match else (one, WHOLE)
        found.setdefault(job, {})[part] = one
    whole = {}
    for job, own in found.items():
        of = max(own)[1]
        if sorted(own) == [(place, of) for place in range(of)]:
            whole[job] = [own[part] for part in sorted(own)]
    return whole


def joined(found: Sequence[Arrays]) -> Arrays:
    """The arrays of a whole job; what holds one number an image holds it along its last axis.

    Images that were kept stay in their parts: together they may not fit into memory.
    """
    if len(found) == 1:
        return found[0]
    return {
        key: array if key in _OF_ALL else np.concatenate([one[key] for one in found], axis=-1)
        for key, array in found[0].items()
        if key != "adversarial"
    }
