"""Whether two runs of one study tell the same: on a CPU and a GPU, or with seeds trained at once.

Cell by cell: each recipe's accuracy without attack, and under each attack at each eps. Networks
that were trained with other rounding are other networks, so that values differ; intervals say by
how much networks that were trained alike may differ.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from section import publish, table

from unfooled import report
from unfooled.report import Report
from unfooled.statistics import Estimate


@dataclass(frozen=True)
class Cell:
    """One number of both runs."""

    recipe: str
    against: str
    one: Estimate
    other: Estimate

    @property
    def apart(self) -> float:
        """Points between both values."""
        return 100 * abs(self.one.value - self.other.value)

    @property
    def meet(self) -> bool:
        """Whether the intervals overlap."""
        return self.one.low <= self.other.high and self.other.low <= self.one.high

    @property
    def inside(self) -> bool:
        """Whether each value lies in the other's interval."""
        return (
            self.one.low <= self.other.value <= self.one.high
            and self.other.low <= self.one.value <= self.other.high
        )


def cells(one: Report, other: Report) -> Iterator[Cell]:
    """All that both measured of networks."""
    for first, second in zip(one.results.recipes, other.results.recipes, strict=True):
        yield Cell(first.title, "nothing", first.clean, second.clean)
        for curve, same in zip(first.curves, second.curves, strict=True):
            for eps, mine, theirs in zip(curve.eps, curve.robust, same.robust, strict=True):
                if eps:
                    yield Cell(first.title, f"{curve.attack}, {curve.norm} {eps:g}", mine, theirs)


def told(found: Report) -> str:
    """How a run was done."""
    at_once = "at once" if found.environment.get("together") else "one by one"
    return f"{found.environment['device']}, seeds {at_once}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run", type=Path, action="append", required=True, help="folder of a run; given twice"
    )
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    if len(given.run) != 2:
        raise SystemExit("two runs are compared: --run ONE --run OTHER")
    one, other = (report.gather(folder) for folder in given.run)
    if [recipe.name for recipe in one.study.recipes] != [r.name for r in other.study.recipes]:
        raise SystemExit("these are runs of different studies")
    found = list(cells(one, other))
    rows = []
    for recipe in dict.fromkeys(cell.recipe for cell in found):
        own = [cell for cell in found if cell.recipe == recipe]
        widest = max(own, key=lambda cell: cell.apart)
        half = statistics.median(50 * (cell.one.high - cell.one.low) for cell in own)
        rows.append(
            [
                recipe,
                str(len(own)),
                str(sum(cell.meet for cell in own)),
                str(sum(cell.inside for cell in own)),
                f"{statistics.median(cell.apart for cell in own):.2f}",
                f"{half:.2f}",
                f"{widest.apart:.2f} ({widest.against})",
            ]
        )
    head = [
        "recipe",
        "numbers",
        "intervals meet",
        "each in the other's",
        "points apart, median",
        "half an interval, median",
        "most apart",
    ]
    body = (
        f"The study `{one.study.name}`, {one.study.seeds} seeds: {told(one)}, and {told(other)}. "
        "Accuracy without attack and under each attack at each eps, 95 % intervals.\n\n"
        f"{table(head, rows)}\n\n"
        f"In all, {sum(cell.meet for cell in found)} of {len(found)} intervals meet, and "
        f"{sum(cell.inside for cell in found)} hold each other's values. The answers: "
        f"\u201c{one.answer.short}\u201d and \u201c{other.answer.short}\u201d"
    )
    publish(
        "agreement", "Two runs of one study", f"n = {len(found)} numbers", body, write=given.write
    )


if __name__ == "__main__":
    main()
