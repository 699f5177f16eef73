"""The bracket: certified <= truth <= attacked, image by image and then as shares.

An attack shows that an image falls, a bound that it stands. What neither shows is unknown, and no
share of it may be counted to either side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfooled import outcomes, statistics
from unfooled.certified import Certified
from unfooled.outcomes import Facts
from unfooled.statistics import Estimate
from unfooled.study import Study


@dataclass(frozen=True)
class Bracket:
    """Two bounds of robust accuracy against eps, on the same images.

    Attributes:
        norm: of the threats.
        images: that the bounds and all attacks of the norm met.
        eps: ascending.
        certified: shares that are shown to stand, one for each eps.
        attacked: shares that nothing was found to fool: neither an attack, nor the search that goes
            with the bounds.
        unknown: shares between the two.
    """

    norm: str
    images: int
    eps: tuple[float, ...]
    certified: tuple[Estimate, ...]
    attacked: tuple[Estimate, ...]
    unknown: tuple[Estimate, ...]


def bracket(
    study: Study, facts: Facts, recipe: int, seeds: Sequence[int], shown: Sequence[Certified]
) -> Bracket | None:
    """The bracket of a recipe.

    Args:
        study, facts: see `results.build`.
        recipe: its place in the study.
        seeds: of its networks that have results.
        shown: certificates of these networks; none gives None.
    """
    if not shown:
        return None
    rows = [
        [_row(study, facts, recipe, seed, one, eps) for seed, one in zip(seeds, shown, strict=True)]
        for eps in shown[0].eps
    ]
    stands = [np.stack([stand for stand, _ in row]) for row in rows]
    left = [np.stack([left for _, left in row]) for row in rows]
    share = statistics.share
    return Bracket(
        norm=shown[0].norm,
        images=stands[0].shape[1],
        eps=shown[0].eps,
        certified=tuple(share(table) for table in stands),
        attacked=tuple(share(table) for table in left),
        unknown=tuple(share(up & ~low) for up, low in zip(left, stands, strict=True)),
    )


def _row(
    study: Study, facts: Facts, recipe: int, seed: int, shown: Certified, eps: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each image is shown to stand, and whether nothing was found that fools it."""
    within = [row for row, one in enumerate(shown.eps) if one <= eps]
    stands, unfallen = shown.within(eps), np.asarray(~shown.falls[within].any(axis=0))
    if not outcomes.untargeted(study, shown.norm):
        return stands, unfallen
    met = outcomes.met(study, facts, recipe, seed, shown.norm)
    _, here, there = np.intersect1d(met, shown.ids, return_indices=True)
    worst = outcomes.worst(study, facts, recipe, seed, shown.norm, eps)
    return stands[there], unfallen[there] & worst[here]
