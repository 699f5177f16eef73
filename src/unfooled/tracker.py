"""What a tracker is: a place besides its folder where a run is kept, for those who look there.

Every file in `trackers/` holds a function of its own name:

    def name(report: Report, folder: Path, where: str) -> str

It writes what a report holds to `where` and returns, in words, where that is to be seen. `folder`
is the run's, with the report's pages in it. `NEEDS` is the package that it writes with, which
`pip install "unfooled[NAME]"` brings, and `WHERE` the environment variable that says where if
nobody else does; "" for a tracker that knows a place by itself. Nothing is written or sent unless
it was asked for, and nothing that fails here costs a run anything.
"""

import importlib.util
import os
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unfooled import catalog, outcomes
from unfooled.errors import InvalidOption, TrackingFailed, brief
from unfooled.outcomes import CLEAN
from unfooled.recipe import Recipe
from unfooled.report import Report
from unfooled.study import Study
from unfooled.wording import public

Setting = str | int | float
_LONGEST = 300  # letters of somebody else's error


@dataclass(frozen=True)
class Tracker:
    """A tracker that can be written to.

    Attributes:
        name: in `trackers/`.
        where: such as a folder or the address of a server.
        function: see above.
    """

    name: str
    where: str
    function: Callable[[Report, Path, str], str]

    def track(self, report: Report, folder: Path) -> str:
        """Write a report there; where it is to be seen.

        Raises:
            TrackingFailed: it could not be written; the run and its report are as they were.
        """
        try:
            return self.function(report, folder, self.where)
        except Exception as error:  # whatever a server or its library makes of it
            where, why = public(self.where), public(_reason(error))
            place = f" at {where}" if where else ""
            again = f"--{self.name} {where}".strip()
            raise TrackingFailed(
                f"{self.name}{place} could not be written: {why}; the report is in "
                f"{folder / 'report'}, and unfooled report {folder} {again} tries again"
            ) from error


def _reason(error: BaseException) -> str:
    """What the system said, if it is behind an error of a library; else what that says."""
    inner = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    told = brief(inner if isinstance(inner, OSError) else error)
    return textwrap.shorten(told, _LONGEST, placeholder=" ...")


@dataclass(frozen=True)
class Tracked:
    """What a tracker keeps of one network.

    Attributes:
        name: of the network, such as "plain-0".
        recipe: of the recipe.
        seed: of its training.
        settings: all that its recipe decides, in plain values.
        history: for each epoch the numbers of `training.Epoch`, without those that were not taken.
        clean: the share of the test images that it reads correctly.
        robust: the share that stands, by attack and norm, for each eps.
    """

    name: str
    recipe: str
    seed: int
    settings: Mapping[str, Setting]
    history: tuple[Mapping[str, float], ...]
    clean: float
    robust: Mapping[tuple[str, str], Mapping[float, float]]


def tracked(report: Report) -> list[Tracked]:
    """Every network of a report, in its order."""
    found, place = [], {recipe.name: at for at, recipe in enumerate(report.study.recipes)}
    for recipe in report.results.recipes:
        tables = outcomes.tables(report.study, report.facts, place[recipe.name], recipe.seeds)
        for row, seed in enumerate(recipe.seeds):
            robust: dict[tuple[str, str], dict[float, float]] = {}
            for (attack, norm, eps), table in tables.items():
                if attack != CLEAN:
                    robust.setdefault((attack, norm), {})[eps] = float(table[row].mean())
            epochs = recipe.history[row] if recipe.history else ()
            found.append(
                Tracked(
                    name=f"{recipe.name}-{seed}",
                    recipe=recipe.name,
                    seed=seed,
                    settings=settings(report.study, report.study.recipes[place[recipe.name]]),
                    history=tuple(
                        {name: value for name, value in epoch.items() if value is not None}
                        for epoch in epochs
                    ),
                    clean=float(tables[CLEAN, "", 0.0][row].mean()),
                    robust=robust,
                )
            )
    return found


def settings(study: Study, recipe: Recipe) -> dict[str, Setting]:
    """All that a recipe decides, as names with plain values."""
    told: dict[str, Setting] = {"recipe": recipe.name, "dataset": study.dataset}
    if recipe.given is not None:
        return {**told, "network": recipe.given.which or recipe.title}
    return {
        **told,
        "model": study.model,
        "transforms": " + ".join(_called(one) for one in recipe.transforms) or "none",
        "defence": _called(recipe.defence),
        "input": " + ".join(_called(one) for one in recipe.input) or "none",
        **asdict(recipe.plan),
    }


def _called(member: tuple[str, Mapping[str, Any]]) -> str:
    """Such as "adversarial(eps=0.3, steps=3)"."""
    name, options = member
    inner = ", ".join(f"{option}={value}" for option, value in options.items())
    return f"{name}({inner})" if inner else name


def find(name: str, where: str) -> Tracker:
    """The tracker of that name, before there is anything to write.

    Args:
        name: in `trackers/`.
        where: "" for its usual place.

    Raises:
        UnknownName: there is none.
        InvalidOption: its package is not installed, or nobody said where.
    """
    module = catalog.module("trackers", name)
    if importlib.util.find_spec(module.NEEDS) is None:
        raise InvalidOption(
            f'--{name} needs a package that is not here: pip install "unfooled[{name}]"'
        )
    place = where or os.environ.get(module.WHERE, "")
    if module.WHERE and not place:
        raise InvalidOption(
            f"--{name} needs to know where: --{name} ADDRESS, or the environment variable "
            f"{module.WHERE}"
        )
    return Tracker(name, place, catalog.function("trackers", name))
