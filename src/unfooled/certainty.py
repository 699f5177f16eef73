"""The figure of the bracket: what is shown to stand, what attacks left, and what is not known."""

import math

from unfooled.drawing import COLOURS, ENDS, FAINT, INK, Figure, drawn_on, ends, finished, tip
from unfooled.report import Report
from unfooled.wording import interval, percent

_PANELS = 3  # recipes side by side


def certainty(report: Report) -> Figure | None:
    """Both ends against eps, for the recipes with something certain first."""
    have = [
        (recipe.title, recipe.bracket)
        for recipe in report.results.featured
        if recipe.bracket is not None
    ]
    if not have:
        return None
    have.sort(key=lambda one: -sum(share.value for share in one[1].certified))
    shown, told = have[:_PANELS], []
    lowest = min(share.low for _, one in shown for share in one.certified)
    bottom = max(0.0, math.floor(10 * lowest - 0.2) / 10)
    with drawn_on(7.1, 2.6, columns=len(shown), sharey=True) as (canvas, axes):
        for axis, (title, one) in zip(axes, shown, strict=True):
            low = [share.value for share in one.certified]
            high = [share.value for share in one.attacked]
            marks = "o" if len(one.eps) < 12 else ""
            axis.fill_between(one.eps, low, high, color=FAINT, alpha=0.25, lw=0)
            axis.plot(one.eps, high, color=COLOURS[1], marker=marks, ms=4, lw=1.5)
            axis.plot(one.eps, low, color=COLOURS[2], marker=marks, ms=4, lw=1.5, ls="--")
            for name, found, colour in (
                ("left after attacks", one.attacked, COLOURS[1]),
                ("certified", one.certified, COLOURS[2]),
            ):
                spread = [[e.value - e.low for e in found], [e.high - e.value for e in found]]
                values = [e.value for e in found]
                axis.errorbar(one.eps, values, yerr=spread, fmt="none", ecolor=colour, elinewidth=1)
                for eps, share in zip(one.eps, found, strict=True):
                    (mark,) = axis.plot(eps, share.value, ".", color=colour, ms=2)
                    said = f"{percent(share.value)} ({interval(share)})"
                    tip(mark, f"{title}, eps {eps:g}: {name} {said}")
            axis.set_title(title)
            axis.set_xlabel(f"eps ({one.norm})")
            axis.set_xlim(0, 1.08 * one.eps[-1])
            axis.set_ylim(bottom, 1 + 0.04 * (1 - bottom))
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            words = ", ".join(
                f"eps {eps:g} certified {percent(c.value)}, left {percent(a.value)}"
                for eps, c, a in zip(one.eps, one.certified, one.attacked, strict=True)
            )
            told.append(f"{title}: {words}")
        words_above = (
            (0.1, "left after attacks", COLOURS[1]),
            (0.32, "certified", COLOURS[2]),
            (0.45, "between: unknown", INK),
        )
        for x, text, colour in words_above:
            canvas.text(x, 1.0, text, color=colour, va="bottom")
        svg = finished(canvas)
    return Figure(
        "certainty",
        "The truth lies between what is certified and what attacks leave",
        "Solid: the share that neither an attack nor the search beside the bounds could fool. "
        "Dashed: the share that is shown to stand whatever the attacker does within eps. The grey "
        "between is not known. Bars are 95 % intervals.",
        "; ".join(told),
        svg,
        ("recipe", "norm", "eps", "end", *ENDS, "images"),
        tuple(
            (title, one.norm, eps, name, *ends(share), one.images)
            for title, one in have
            for name, found in (("certified", one.certified), ("left", one.attacked))
            for eps, share in zip(one.eps, found, strict=True)
        ),
    )
