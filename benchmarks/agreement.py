"""Whether two runs of one study tell the same: on a CPU and a GPU, or with seeds trained at once.

Cell by cell: accuracy without attack and under each attack at each eps, the difference of both runs
paired by seed and by image, with its interval. Of runs that differ by rounding alone, 95 in 100
intervals hold 0.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from section import publish, table

from unfooled import outcomes, report, statistics
from unfooled.report import Report
from unfooled.statistics import Estimate


@dataclass(frozen=True)
class Cell:
    """One number of both runs."""

    recipe: str
    against: str
    change: Estimate

    @property
    def agrees(self) -> bool:
        return self.change.low <= 0 <= self.change.high


def cells(one: Report, other: Report) -> Iterator[Cell]:
    """All that both measured of networks, recipe by recipe."""
    for place, (first, second) in enumerate(
        zip(one.results.recipes, other.results.recipes, strict=True)
    ):
        if first.seeds != second.seeds:
            raise SystemExit(f"{first.title}: the runs do not have the same seeds")
        tables = [
            outcomes.tables(found.study, found.facts, place, first.seeds) for found in (one, other)
        ]
        for (attack, norm, eps), mine in tables[0].items():
            if eps or not norm:
                change = statistics.difference(mine, tables[1][attack, norm, eps]).estimate
                yield Cell(first.title, f"{attack}, {norm} {eps:g}" if norm else "nothing", change)


def told(found: Report) -> str:
    """How a run was done."""
    at_once = "at once" if found.environment["together"] else "one by one"
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
    if one.study.plain() != other.study.plain():
        raise SystemExit("these are runs of different studies")
    found = list(cells(one, other))
    rows = []
    for recipe in dict.fromkeys(cell.recipe for cell in found):
        own = [cell for cell in found if cell.recipe == recipe]
        most = max(own, key=lambda cell: abs(cell.change.value))
        low, high = 100 * most.change.low, 100 * most.change.high
        rows.append(
            [
                recipe,
                str(len(own)),
                str(sum(cell.agrees for cell in own)),
                f"{100 * most.change.value:+.2f} ({low:+.2f} to {high:+.2f}), {most.against}",
            ]
        )
    head = ["recipe", "numbers", "whose interval holds 0", "the largest difference, in points"]
    body = (
        f"The study `{one.study.name}`, {one.study.seeds} seeds: {told(one)}, then {told(other)}. "
        "Accuracy without attack and under each attack at each eps: second run less first, paired "
        "by seed and by image, 95 % intervals.\n\n"
        f"{table(head, rows)}\n\n"
        f"In all, {sum(cell.agrees for cell in found)} of {len(found)} intervals hold 0. "
        f"The answers: \u201c{one.answer.short}\u201d and \u201c{other.answer.short}\u201d"
    )
    publish(
        "agreement", "Two runs of one study", f"n = {len(found)} numbers", body, write=given.write
    )


if __name__ == "__main__":
    main()
