"""The best slopes and multipliers for a part of one image's threat, by a linear programme.

Where the sign of every open ReLU is given, the network is linear and the programme's answer is the
truth; elsewhere it is the lowest bound that any lines of the ReLUs give. The solver is not trusted:
what it finds are slopes and multipliers, of which any give a bound that holds, and an image, about
which the network can be asked.

Source: Ehlers 2017, https://arxiv.org/abs/1705.01320, section 4 (the programme); its multipliers
as those of a bound, Wang et al. 2021, https://arxiv.org/abs/2103.06624, section 3.3.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfooled.condensed import Condensed, Rows, Split
from unfooled.fitting import lowered
from unfooled.lines import leak, rectified
from unfooled.shapes import Images

_ROUNDING = 1e-9  # of what multipliers multiply: far more than double precision loses

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Settled:
    """What a programme says of one part.

    Attributes:
        bound: an upper bound of the row over it; minus infinite where no image is in it, and
            infinite where the solver gave up.
        images: where the row is largest if its lines are right; none of an empty part.
    """

    bound: float
    images: Images


@dataclass(frozen=True)
class _Units:
    """All open ReLUs: they are given `factors . variables + added`.

    The variables are the pixels, then what each open ReLU gives.

    Attributes:
        slope, at: of the line above each.
        signs: as in `Split`.
    """

    factors: Numbers  # [u, d + u]
    added: Numbers
    slope: Numbers
    at: Numbers
    leak: Numbers
    signs: NDArray[np.int8]


@dataclass(frozen=True)
class _Solved:
    """Where a programme is largest, and the slopes and pushes that show it."""

    variables: Numbers
    slopes: Numbers
    pushes: Numbers


def settled(problem: Condensed, row: Rows, split: Split) -> Settled:
    """The lowest bound of one row over one part, in Linf.

    Args:
        row, split: a single one of each.
    """
    units, box = _units(problem, split), problem.region.box
    pixels = row.pixels.shape[1]
    ranges = np.full((pixels + len(units.added), 2), (-np.inf, np.inf))
    ranges[:pixels] = np.stack([_plain(box.low.flatten()), _plain(box.high.flatten())], axis=1)
    goal = np.concatenate([_plain(row.pixels[0]), *(_plain(one[0]) for one in row.units)])
    found = _solved(goal, units, ranges, 0.0)
    if found is not None:
        image = torch.from_numpy(found.variables[:pixels]).to(row.pixels)
        return Settled(_bound(problem, row, split, found), image.view_as(box.middle))
    # No image has these signs: what shows it are multipliers under which nothing is below 0.
    found = _solved(np.zeros_like(goal), units, ranges, np.inf)
    nothing = Rows(
        torch.zeros_like(row.pixels),
        tuple(torch.zeros_like(one) for one in row.units),
        torch.zeros_like(row.added),
    )
    empty = found is not None and _bound(problem, nothing, split, found) < 0
    return Settled(-np.inf if empty else np.inf, box.middle[:0])


def _solved(goal: Numbers, units: _Units, ranges: Numbers, most: float) -> _Solved | None:
    """The programme's answer; None where there is none.

    Args:
        most: by how much signs may be violated, each for as much off the goal.
    """
    from scipy.optimize import linprog

    count, open_ = len(units.added), units.signs == 0
    gives = np.pad(np.eye(count), ((0, 0), (ranges.shape[0] - count, 0)))
    given, added = units.factors, units.added
    some = units.signs != 0
    above, leaking = given - gives, units.leak[:, None] * given - gives
    under = gives - units.slope[:, None] * given
    left = [above[open_], leaking[open_], under[open_], (-units.signs[:, None] * given)[some]]
    right = [
        -added[open_],
        -(units.leak * added)[open_],
        (units.slope * added + units.at)[open_],
        (units.signs * added)[some],
    ]
    own = np.where(units.signs > 0, 1.0, units.leak)
    violated = np.concatenate([np.zeros(3 * int(open_.sum())), np.full(int(some.sum()), -1.0)])
    done = linprog(
        np.append(-goal, 1.0),
        A_ub=np.column_stack([np.concatenate(left), violated]),
        b_ub=np.concatenate(right),
        A_eq=np.pad((own[:, None] * given - gives)[some], ((0, 0), (0, 1))),
        b_eq=-(own * added)[some],
        bounds=[*ranges, (0.0, most)],
        method="highs",
    )
    if done.status != 0:
        return None
    weights, n = np.maximum(-done.ineqlin.marginals, 0), int(open_.sum())
    slopes, pushes = own.copy(), np.zeros(count)
    both = weights[:n] + weights[n : 2 * n]
    mixed = weights[:n] + units.leak[open_] * weights[n : 2 * n]
    slopes[open_] = np.where(both > 0, mixed / np.maximum(both, 1e-300), units.leak[open_])
    pushes[some] = weights[3 * n :]
    return _Solved(done.x[:-1], slopes, pushes)


def _bound(problem: Condensed, row: Rows, split: Split, found: _Solved) -> float:
    """The bound of the solver's slopes and pushes, in our own arithmetic."""
    widths = [one.shape[1] for one in split.signs]

    def laid(numbers: Numbers) -> tuple[Tensor, ...]:
        parts = np.split(numbers, np.cumsum(widths)[:-1])
        return tuple(torch.from_numpy(part).to(row.pixels)[None] for part in parts)

    own = replace(split, slopes=laid(found.slopes), pushes=laid(found.pushes))
    # Multipliers may be large, and what they multiply is rounded.
    boxes = [layer.box for layer in problem.layers]
    largest = max((float((box.middle.abs() + box.radius).max()) for box in boxes), default=0.0)
    return float(lowered(problem, row, own, 0).bounds) + (
        _ROUNDING * largest * float(found.pushes.sum())
    )


def _units(problem: Condensed, split: Split) -> _Units:
    layers = problem.layers
    total = sum(layer.box.middle.shape[1] for layer in layers)
    factors = []
    for layer in layers:
        known = torch.cat([layer.rows.pixels, *layer.rows.units], dim=1)
        before = sum(one.shape[1] for one in layer.rows.units)
        factors.append(np.pad(_plain(known), ((0, 0), (0, total - before))))
    above = [rectified(layer.module, layer.box) for layer in layers]
    leaks = [np.full(layer.box.middle.shape[1], leak(layer.module)) for layer in layers]
    return _Units(
        np.concatenate(factors) if factors else np.zeros((0, problem.region.box.middle.numel())),
        _joined([layer.rows.added for layer in layers]),
        _joined([one.high_slope[0] for one in above]),
        _joined([one.high_at[0] for one in above]),
        np.concatenate([np.zeros(0), *leaks]),
        np.concatenate([np.zeros(0, np.int8), *(one[0].cpu().numpy() for one in split.signs)]),
    )


def _joined(several: list[Tensor]) -> Numbers:
    return np.concatenate([np.zeros(0), *(_plain(one) for one in several)])


def _plain(numbers: Tensor) -> Numbers:
    found: Numbers = numbers.cpu().double().numpy()
    return found
