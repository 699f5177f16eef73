"""How often the intervals of `statistics.py` hold the truth, in simulated studies that know it.

The network of a seed reads an image correctly with probability expit(a + seed + image), the two
normal with mean 0: some seeds are better, some images easier. A second recipe adds a shift, and
normal changes of its own to each seed (as large) and image (half as large). The truth is the mean
over all seeds and images, by Gauss-Hermite quadrature; `a` and the shift are solved from it.

Intervals are computed for many tables at once here; the first ones of every cell are compared with
what `statistics.share` and `statistics.difference` say, so that it is their coverage.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from section import publish, table

from unfooled import statistics

SEEDS = (3, 5, 10)
SHARES = (0.5, 0.95, 0.3, 0.07, 0.006)
EFFECTS = {0.5: 0.55, 0.95: 0.97, 0.3: 0.35, 0.07: 0.10, 0.006: 0.012}
SEEDS_SD = (0.1, 0.5)  # on the logit scale
IMAGES_SD = (0.5, 2.0)
BOUNDS = (0.93, 0.98)
METHODS = ("statistics.py", "one t")
_AT_ONCE = 100  # tables; more do not fit into the cache
_COMPARED = 3  # tables of each cell

Array = NDArray[np.float64]
Tables = NDArray[np.int8]


@dataclass(frozen=True)
class Setting:
    """What is true; `second` is None where a share is estimated, not a difference."""

    first: float
    second: float | None
    seeds_sd: float
    images_sd: float

    @property
    def truth(self) -> float:
        return self.first if self.second is None else self.second - self.first

    @property
    def limits(self) -> tuple[int, int]:
        return (0, 1) if self.second is None else (-1, 1)

    @property
    def name(self) -> str:
        shares = f"{self.first:g}" if self.second is None else f"{self.first:g} to {self.second:g}"
        return f"{shares}, sd {self.seeds_sd:g} / {self.images_sd:g}"


@dataclass(frozen=True)
class Cell:
    """What one method did in one setting with one number of seeds."""

    setting: Setting
    seeds: int
    method: str
    coverage: float
    length: float
    repeats: int

    @property
    def error(self) -> float:
        return math.sqrt(self.coverage * (1 - self.coverage) / self.repeats)

    @property
    def outside(self) -> bool:
        return not BOUNDS[0] <= self.coverage <= BOUNDS[1]

    def __str__(self) -> str:
        mark = "**" if self.outside else ""
        numbers = f"{100 * self.coverage:.1f} ± {100 * self.error:.1f}"
        return f"{mark}{numbers}{mark} ({100 * self.length:.2f})"


def settings() -> list[Setting]:
    pairs = list(itertools.product(SEEDS_SD, IMAGES_SD))
    return [
        *(Setting(share, None, *sds) for share in SHARES for sds in pairs),
        *(Setting(share, share, *sds) for share in SHARES for sds in pairs),
        *(Setting(share, EFFECTS[share], *sds) for share in SHARES for sds in pairs),
    ]


def mean_of(centre: float, sd: float) -> float:
    """The mean of expit over a normal distribution."""
    points, weights = np.polynomial.hermite_e.hermegauss(150)
    return float(weights @ special.expit(centre + sd * points)) / math.sqrt(2 * math.pi)


def centre_of(share: float, sd: float) -> float:
    """The inverse of `mean_of`."""
    return float(optimize.brentq(lambda centre: mean_of(centre, sd) - share, -30, 30, xtol=1e-13))


def simulated(
    setting: Setting, repeats: int, images: int, chance: np.random.Generator
) -> Iterator[Tables]:
    """Tables `[repeats, seeds, images]` of outcomes (0, 1) or paired differences (-1, 0, 1)."""
    most = max(SEEDS)

    def effects(seeds_sd: float, images_sd: float, count: int) -> NDArray[np.float32]:
        of_seeds = chance.standard_normal((count, most, 1), dtype=np.float32)
        of_images = chance.standard_normal((count, 1, images), dtype=np.float32)
        return np.float32(seeds_sd) * of_seeds + np.float32(images_sd) * of_images

    def outcomes(logits: NDArray[np.float32], centre: float) -> Tables:
        drawn = chance.random(logits.shape, dtype=np.float32)
        read: NDArray[np.bool_] = drawn < special.expit(logits + np.float32(centre))
        return read.astype(np.int8)

    own = (setting.seeds_sd, setting.images_sd)
    change = (setting.seeds_sd, setting.images_sd / 2)
    sd = math.hypot(*own)
    for start in range(0, repeats, _AT_ONCE):
        count = min(_AT_ONCE, repeats - start)
        logits = effects(*own, count)
        first = outcomes(logits, centre_of(setting.first, sd))
        if setting.second is None:
            yield first
        else:
            changed = logits + effects(*change, count)
            centre = centre_of(setting.second, math.hypot(sd, *change))
            yield outcomes(changed, centre) - first


def intervals(tables: Tables, limits: tuple[int, int]) -> dict[str, tuple[Array, Array]]:
    """Both ends of each table's interval, by each method."""
    count, seeds, _ = tables.shape
    guards = np.broadcast_to(np.array(limits, np.int8), (count, seeds, 2))
    padded = np.concatenate([tables, guards], axis=2)
    images = padded.shape[2]
    by_seed = padded.sum(axis=2, dtype=np.int32) / images
    by_image = padded.sum(axis=1, dtype=np.int32) / seeds
    mean = by_seed.mean(axis=1)
    of_seeds = images * ((by_seed - mean[:, None]) ** 2).sum(axis=1)
    of_images = seeds * ((by_image - mean[:, None]) ** 2).sum(axis=1)
    of_all = np.count_nonzero(padded, axis=(1, 2)) - images * seeds * mean**2
    ms_rest = (of_all - of_seeds - of_images) / ((seeds - 1) * (images - 1))
    seed_part = of_seeds / (seeds - 1) / (seeds * images)
    image_part = np.maximum(0, of_images / (images - 1) - ms_rest) / (seeds * images)

    def quantile(freedom: Array | int) -> Array:
        return np.asarray(special.stdtrit(freedom, 0.5 + statistics.LEVEL / 2))

    least = ms_rest / (seeds * images) * special.ndtri(0.5 + statistics.LEVEL / 2) ** 2
    through_seeds = np.maximum(seed_part * quantile(seeds - 1) ** 2, least)
    mover = through_seeds + image_part * quantile(images - 1) ** 2
    variance = seed_part + image_part
    squares = seed_part**2 / (seeds - 1) + image_part**2 / (images - 1)
    freedom = np.divide(variance**2, squares, where=squares > 0, out=np.ones_like(squares))
    halves = (np.sqrt(mover), quantile(freedom) * np.sqrt(variance))
    value = tables.mean(axis=(1, 2))
    return {
        method: (
            np.maximum(limits[0], np.minimum(mean - half, value)),
            np.minimum(limits[1], np.maximum(mean + half, value)),
        )
        for method, half in zip(METHODS, halves, strict=True)
    }


def compared(tables: Tables, setting: Setting, ends: tuple[Array, Array]) -> None:
    """Stops where `statistics.py` gives another interval."""
    for place, one in enumerate(tables[:_COMPARED]):
        if setting.second is None:
            estimate = statistics.share(one == 1)
        else:
            estimate = statistics.difference(one == -1, one == 1).estimate
        theirs, ours = (estimate.low, estimate.high), (ends[0][place], ends[1][place])
        if not np.allclose(theirs, ours, rtol=0, atol=1e-9):
            raise SystemExit(f"{setting.name}: statistics.py says {theirs}, this script {ours}")


def measured(
    setting: Setting, repeats: int, images: int, chance: np.random.Generator
) -> list[Cell]:
    found: dict[tuple[int, str], list[tuple[Array, Array]]] = {}
    for tables in simulated(setting, repeats, images, chance):
        for seeds in SEEDS:
            ends = intervals(tables[:, :seeds], setting.limits)
            if (seeds, METHODS[0]) not in found:
                compared(tables[:, :seeds], setting, ends[METHODS[0]])
            for method in METHODS:
                found.setdefault((seeds, method), []).append(ends[method])
    cells = []
    for (seeds, method), parts in found.items():
        low, high = (np.concatenate(side) for side in zip(*parts, strict=True))
        hits = float(((low <= setting.truth) & (setting.truth <= high)).mean())
        cells.append(Cell(setting, seeds, method, hits, float((high - low).mean()), repeats))
    return cells


def shown(cells: list[Cell], title: str) -> str:
    """Each method's summary, and a table with a row for each setting."""
    head = ["truth; sd of seeds / images"]
    head += [f"{method}, {seeds} seeds" for method in METHODS for seeds in SEEDS]
    rows = []
    for setting in dict.fromkeys(cell.setting for cell in cells):
        own = {(cell.method, cell.seeds): cell for cell in cells if cell.setting == setting}
        rows.append([setting.name, *(str(own[m, s]) for m in METHODS for s in SEEDS)])
    summaries = [
        summary(
            f"{method}, {seeds} seeds", [c for c in cells if (c.method, c.seeds) == (method, seeds)]
        )
        for method in METHODS
        for seeds in SEEDS
    ]
    head_of_summary = ["method", "mean", "lowest", "highest", "below 93", "above 98", "cells"]
    return f"### {title}\n\n{table(head_of_summary, summaries)}\n\n{table(head, rows)}"


def summary(name: str, cells: list[Cell]) -> list[str]:
    found = [100 * cell.coverage for cell in cells]
    shown = [f"{number:.1f}" for number in (sum(found) / len(found), min(found), max(found))]
    low = sum(cell.coverage < BOUNDS[0] for cell in cells)
    high = sum(cell.coverage > BOUNDS[1] for cell in cells)
    return [name, *shown, str(low), str(high), str(len(cells))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000, help="simulated studies a setting")
    parser.add_argument("--images", type=int, default=1000, help="images a study")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    chance = np.random.default_rng(given.seed)
    cells = [
        cell
        for setting in settings()
        for cell in measured(setting, given.repeats, given.images, chance)
    ]
    shares = [cell for cell in cells if cell.setting.second is None]
    differences = [cell for cell in cells if cell.setting.second is not None]
    body = (
        "Coverage of nominal 95 % intervals in percent, ± its Monte Carlo standard error, and in "
        "parentheses the mean length in points; bold outside 93 to 98 %. A setting's studies of 3 "
        'and 5 seeds are the first rows of those of 10. "one t" is the comparison: one t with '
        "Satterthwaite's degrees of freedom on the summed variance.\n\n"
        f"{shown(shares, 'A share')}\n\n{shown(differences, 'A paired difference')}"
    )
    basis = f"n = {given.repeats:,} simulated studies a cell, {given.images:,} images each"
    publish("coverage", "Coverage of the intervals", basis, body, write=given.write)


if __name__ == "__main__":
    main()
