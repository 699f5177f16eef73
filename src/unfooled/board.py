"""The board: every recipe against every kind of harm, so that "helps here, hurts there" is seen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unfooled.drawing import ENDS, FAINT, INK, Figure, drawn_on, ends, finished
from unfooled.outcomes import CLEAN, CORRUPTED, CORRUPTION, WORST
from unfooled.report import Report
from unfooled.results import Comparison, RecipeResult, Results
from unfooled.statistics import BETTER, HELPS, HURTS, NO_DIFFERENCE, WORSE, Estimate
from unfooled.wording import percent, points

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

_UP, _DOWN = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"
_BLUE, _ORANGE = "#BFDDF0", "#F6CBB0"
_FACES = {
    HELPS: _BLUE,
    BETTER: _BLUE,
    HURTS: _ORANGE,
    WORSE: _ORANGE,
    NO_DIFFERENCE: "#FFFFFF",
}
_MARKS = {HELPS: _UP, BETTER: _UP, HURTS: _DOWN, WORSE: _DOWN}
_WIDE = 7  # columns for which there is room at least, or the letters would fill the page


@dataclass(frozen=True)
class Harm:
    """A column of the board.

    Attributes:
        head: as the column is headed, one line or two.
        against, norm, eps: as in `Comparison`.
    """

    head: str
    against: str
    norm: str
    eps: float

    def of(self, recipe: RecipeResult) -> Estimate:
        """What a recipe's networks read correctly under it."""
        if self.against == CLEAN:
            return recipe.clean
        if self.norm == CORRUPTION:
            return recipe.corrupted[self.against]
        return recipe.curve(self.against, self.norm).at(self.eps)

    def change(self, results: Results, recipe: RecipeResult) -> Comparison | None:
        """What a recipe changes under it; None for the baseline."""
        return results.compared(recipe.name, self.against, self.eps, norm=self.norm)


def harms(results: Results) -> list[Harm]:
    """The columns: no attack, each attack, the worst case of each norm, common corruptions.

    Attacks of the answer's norm are shown at the answer's eps, where they have it, and others at
    the largest.
    """
    asked, found = float(results.study["answer_eps"]), [Harm("no attack", CLEAN, "", 0.0)]
    curves = results.recipes[0].curves
    for curve in curves:
        alone = sum(one.norm == curve.norm for one in curves) == 2
        if curve.attack == WORST and alone:
            continue  # it is that attack
        eps = asked if curve.norm == results.norm and asked in curve.eps else curve.eps[-1]
        size = "full" if curve.norm == "spatial" and eps == 1 else f"{eps:g}"
        found.append(Harm(f"{curve.attack}\n{curve.norm} {size}", curve.attack, curve.norm, eps))
    if results.recipes[0].corrupted:
        found.append(Harm("common\ncorruptions", CORRUPTED, CORRUPTION, 0.0))
    return found


def board(report: Report) -> Figure:
    """Recipes against harms: what is read correctly, and the change from the baseline."""
    results = report.results
    rows, columns = results.alone, harms(results)
    told, wide = [], max(len(columns), _WIDE)
    with drawn_on(1.05 * wide, 0.29 * len(rows) + 0.45) as (canvas, axes):
        axis = axes[0]
        for row, recipe in enumerate(rows):
            words = []
            for column, harm in enumerate(columns):
                value, one = harm.of(recipe).value, harm.change(results, recipe)
                face = _FACES.get(one.verdict, "#F2F2F2") if one else "#FFFFFF"
                axis.add_patch(_tile(column, row, face))
                axis.text(column - 0.1, row, f"{100 * value:.1f}", ha="right", va="center")
                words.append(f"{harm.head.replace(chr(10), ' ')} {percent(value)}")
                if one is not None:
                    change = _MARKS.get(one.verdict, "") + points(one.difference.value)
                    axis.text(column - 0.03, row, change, va="center", fontsize=6.5, color=INK)
                    words[-1] += f" ({one.verdict})"
            told.append(f"{recipe.title}: {', '.join(words)}")
        axis.set_xlim(-0.5, wide - 0.5)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_yticks(range(len(rows)), [recipe.title for recipe in rows])
        heads = [harm.head for harm in columns]
        axis.set_xticks(range(len(columns)), heads, fontsize=7)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.plot([-0.5, len(columns) - 0.5], [0.5, 0.5], color=FAINT, lw=0.8)
        svg = finished(canvas)
    up, down = (BETTER, WORSE) if results.given else (f"it {HELPS}", f"it {HURTS}")
    return Figure(
        "board",
        f"Every {'network' if results.given else 'recipe'} against every kind of harm",
        "Per cent read correctly, and in small print the change from the first row in points. "
        f"{_UP} on blue: {up}; {_DOWN} on orange: {down}; white: no difference beyond the margin; "
        "grey: cannot tell. Verdicts after Holm's correction within each column.",
        "; ".join(told),
        svg,
        ("recipe", "harm", *ENDS, "change", "change, low", "change, high", "verdict"),
        tuple(
            (
                recipe.title,
                harm.head.replace("\n", " "),
                *ends(harm.of(recipe)),
                *((*ends(one.difference), one.verdict) if one else ("", "", "", "baseline")),
            )
            for recipe in rows
            for harm in columns
            for one in [harm.change(results, recipe)]
        ),
    )


def _tile(column: int, row: int, face: str) -> "Rectangle":
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.45), 0.96, 0.9, facecolor=face, edgecolor="none")
