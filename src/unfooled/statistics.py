"""Estimates with intervals that cover both sources of chance: the seeds and the test images.

A table of outcomes has a row for each seed and a column for each image. Seeds and images are
crossed: every network meets every image, so outcomes in a row share a network and outcomes in a
column share an image. The two-way analysis of variance with both factors random splits the
variance of the overall mean in two,

    through the seeds   MS_seed / (seeds * images)              with seeds - 1 degrees of freedom
    through the images  (MS_image - MS_rest) / (seeds * images) with images - 1,

The interval's half-length is the root of the summed squares of each part's own: its standard error
times its own quantile of t (MOVER: Zou and Donner 2008, Statistics in Medicine 27:1693). The first
part is not let fall below what MS_rest with its many degrees of freedom gives: seeds may tie.
One t with Satterthwaite's degrees of freedom for the sum is too short with 3 seeds: it guesses the
degrees of freedom from the same few seeds. `benchmarks/coverage.py` measures both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import optimize, stats

LEVEL = 0.95
POWER = 0.8
_SMALLEST = 1e-12  # p-values are not told apart below
FEWEST_SEEDS = 5  # below, numbers but no verdict

HELPS, HURTS, NO_DIFFERENCE, CANNOT_TELL = "helps", "hurts", "no difference", "cannot tell"
BETTER, WORSE = "stands better", "stands worse"  # of two networks that are there already
NOT_SHOWN = "not shown"  # whatever the numbers say: they are not to be believed


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that holds the truth in 95 of 100 such studies.

    Attributes:
        value: the mean of the table.
        low, high: the interval's ends. With one seed it covers the test images only.
        images, seeds: the size of the table.
    """

    value: float
    low: float
    high: float
    images: int
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A paired difference between two recipes, over the same seeds and images.

    Attributes:
        estimate: second recipe less the first, with its interval.
        p: two-sided probability of a difference at least this large if there were none; 1 with
            fewer than two seeds, which cannot say.
        detectable: the smallest true difference whose interval excludes 0 in 80 of 100 such
            studies, before any correction.
    """

    estimate: Estimate
    p: float
    detectable: float


Outcomes = Bool[ndarray, "s n"] | Float[ndarray, "s n"]  # true or false, or shares in [0, 1]


def share(outcomes: Outcomes) -> Estimate:
    """The share of true outcomes, or the mean of shares.

    One true and one false image are added for the interval (not for the value), so that a share of
    0 has an interval with a length: up to 3 / images, as the rule of three says.
    """
    seeds, images = outcomes.shape
    table = np.hstack([outcomes, np.ones((seeds, 1)), np.zeros((seeds, 1))])
    mean = _crossed(table)
    half, value = mean.half(LEVEL), float(outcomes.mean())
    low, high = max(0.0, min(mean.value - half, value)), min(1.0, max(mean.value + half, value))
    return Estimate(value, low, high, images, seeds)


def difference(first: Outcomes, second: Outcomes) -> Difference:
    """How much more often the second is true, paired by seed and by image.

    One image won and one lost are added for the interval, in the spirit of Bonett and Price 2012,
    so that tables without any difference do not claim to know that there is none.
    """
    seeds, images = first.shape
    paired = second.astype(np.float64) - first.astype(np.float64)
    table = np.hstack([paired, np.ones((seeds, 1)), -np.ones((seeds, 1))])
    mean = _crossed(table)
    half, value = mean.half(LEVEL), float(paired.mean())
    low, high = max(-1.0, min(mean.value - half, value)), min(1.0, max(mean.value + half, value))
    detectable = half + mean.half(2 * POWER - 1)
    p = 1.0 if seeds == 1 else mean.p()
    return Difference(Estimate(value, low, high, images, seeds), p, detectable)


def between(first: Outcomes, second: Outcomes) -> Difference:
    """As `difference`, for two networks themselves, not for two ways to train: p over the images.

    Args:
        first, second: of one row each.
    """
    found = difference(first, second)
    paired = second.astype(np.float64) - first.astype(np.float64)
    table = np.hstack([paired, np.ones((1, 1)), -np.ones((1, 1))])
    return replace(found, p=_crossed(table).p())


def holm(probabilities: Sequence[float]) -> list[float]:
    """The probabilities corrected for asking several questions at once (Holm 1979).

    Not statsmodels' `multipletests`: it collects all garbage at each call, a fifth of a second.
    """
    corrected, least = [0.0] * len(probabilities), 0.0
    for place, index in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        least = max(least, min(1.0, (len(probabilities) - place) * probabilities[index]))
        corrected[index] = least
    return corrected


def verdict(difference: Difference, p: float, margin: float) -> str:
    """What may be said about a difference.

    Args:
        difference: as measured.
        p: its probability, corrected for all that was asked.
        margin: the largest difference that nobody would care about.

    Returns:
        "no difference" when the whole interval lies within the margin; else "helps" or "hurts" when
        the corrected p is below 0.05; otherwise, and always below 5 seeds, "cannot tell".
    """
    few = difference.estimate.seeds < FEWEST_SEEDS
    return CANNOT_TELL if few else _told(difference, p, margin, (HELPS, HURTS))


def ranked(difference: Difference, p: float, margin: float) -> str:
    """What may be said about two networks themselves; as `verdict`, with any number of seeds.

    Returns:
        "no difference", "stands better", "stands worse" or "cannot tell".
    """
    return _told(difference, p, margin, (BETTER, WORSE))


def _told(difference: Difference, p: float, margin: float, words: tuple[str, str]) -> str:
    estimate = difference.estimate
    if max(abs(estimate.low), abs(estimate.high)) <= margin:
        return NO_DIFFERENCE
    if p < 1 - LEVEL:
        return words[0] if estimate.value > 0 else words[1]
    return CANNOT_TELL


@dataclass(frozen=True)
class _Mean:
    """The overall mean of a table, and how far chance may have moved it."""

    value: float
    by_seeds: float  # variance through the seeds and what is left over
    by_rest: float  # variance through what is left over alone
    by_images: float  # variance through the images
    seeds: int
    images: int

    def half(self, level: float) -> float:
        """Half the length of the interval at that level."""
        one_sided = (1 + level) / 2
        squares = self.by_images * float(stats.t.ppf(one_sided, self.images - 1)) ** 2
        if self.seeds > 1:
            # Seeds that tie by luck must not make the interval shorter than the rest alone would.
            squares += max(
                self.by_seeds * float(stats.t.ppf(one_sided, self.seeds - 1)) ** 2,
                self.by_rest * float(stats.norm.ppf(one_sided)) ** 2,
            )
        return math.sqrt(squares)

    def p(self) -> float:
        """Two-sided: one less the level at which the interval ends at 0."""
        if self.half(0.0) >= abs(self.value):
            return 1.0
        if self.half(1 - _SMALLEST) <= abs(self.value):
            return _SMALLEST
        return float(optimize.brentq(lambda p: self.half(1 - p) - abs(self.value), _SMALLEST, 1.0))


def _crossed(table: Float[ndarray, "s n"]) -> _Mean:
    seeds, images = table.shape
    mean, cells = float(table.mean()), table.size
    by_seed, by_image = table.mean(axis=1), table.mean(axis=0)
    ms_image = seeds * float(((by_image - mean) ** 2).sum()) / (images - 1)
    if seeds == 1:
        return _Mean(mean, 0.0, 0.0, ms_image / cells, seeds, images)
    ms_seed = images * float(((by_seed - mean) ** 2).sum()) / (seeds - 1)
    rest = table - by_seed[:, None] - by_image[None, :] + mean
    ms_rest = float((rest**2).sum()) / ((seeds - 1) * (images - 1))
    by_images = max(0.0, ms_image - ms_rest) / cells
    return _Mean(mean, ms_seed / cells, ms_rest / cells, by_images, seeds, images)
