"""Saved adversarial images judged again: what they are now, against what their facts say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unfooled import evaluation
from unfooled.gradients import predict
from unfooled.shapes import Images
from unfooled.threat import Threat

_NAMED = 5  # images or files that a sentence names
# A norm in float64 may differ in its last bits between machines.
_NEAR, _NEARER = 1e-9, 1e-12


@dataclass(frozen=True)
class Failure:
    """One kind of failure.

    Attributes:
        kind: such as "hash", "distance" or "reading".
        sentence: what was found.
        where: the images or files that it was found in, by name.
    """

    kind: str
    sentence: str
    where: tuple[str, ...]

    def __str__(self) -> str:
        rest = len(self.where) - _NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        return f"{self.kind}: {self.sentence}: {', '.join(self.where[:_NAMED])}{more}"


@dataclass(frozen=True)
class Verified:
    """What came of judging saved files again.

    Attributes:
        title: what was judged.
        images, standing: saved adversarial images, and those of them that are what their facts say.
        files, whole: files with a recorded hash, and those of them that have it.
        failures: one for each kind.
        notes: what is no failure, and worth knowing.
    """

    title: str
    images: int
    standing: int
    files: int
    whole: int
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wrong:
    """The rows of some images of which one thing is not what their facts say."""

    kind: str
    sentence: str
    rows: NDArray[np.bool_]


def rejudged(
    network: nn.Module,
    images: Images,
    adversarial: Images,
    threat: Threat,
    claimed: Mapping[str, Any],
) -> list[Wrong]:
    """What is wrong with adversarial images, by the network, the distance in float64 and the range.

    Args:
        network: that they were made for.
        images, adversarial: on the network's device; the second may hold anything.
        threat: that they were made under.
        claimed: `read_as`, `distance` and `inside`, `[n]` each.
    """
    read_as, distance, inside = (
        np.asarray(claimed[name]) for name in ("read_as", "distance", "inside")
    )
    pixels = adversarial.flatten(1)
    ranged = ((pixels >= 0) & (pixels <= 1)).all(1).cpu().numpy()
    found = threat.distance(images, adversarial).cpu().numpy()
    allowed = threat.allows(images, adversarial).cpu().numpy()
    read = evaluation.read(predict(network, adversarial))
    return [
        Wrong("range", "they leave [0, 1], and the facts say inside", inside & ~ranged),
        Wrong(
            "threat",
            f"they lie outside {threat}, and the facts say inside",
            inside & ranged & ~allowed,
        ),
        Wrong("threat", "they lie inside, and the facts say outside", ~inside & allowed),
        Wrong(
            "distance",
            "they lie elsewhere than the facts say",
            ~np.isclose(found, distance, rtol=_NEAR, atol=_NEARER),
        ),
        Wrong("reading", "the network reads something else than the facts say", read != read_as),
    ]


def failures(
    wrong: Sequence[Wrong], names: Sequence[str]
) -> tuple[NDArray[np.bool_], list[Failure]]:
    """Which rows stand in every respect, and what went wrong with the others."""
    standing = np.ones(len(names), dtype=np.bool_)
    found = []
    for one in wrong:
        standing &= ~one.rows
        if one.rows.any():
            where = tuple(names[int(row)] for row in np.flatnonzero(one.rows))
            found.append(Failure(one.kind, one.sentence, where))
    return standing, found


def gathered(found: Sequence[Failure]) -> tuple[Failure, ...]:
    """Those of one kind and one sentence as one, in the order of their first."""

    def merged() -> Iterator[Failure]:
        for kind, sentence in dict.fromkeys((one.kind, one.sentence) for one in found):
            same = (one for one in found if (one.kind, one.sentence) == (kind, sentence))
            yield Failure(kind, sentence, tuple(name for one in same for name in one.where))

    return tuple(merged())
