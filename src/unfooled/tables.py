"""The tables of a report that tell what was found; `colophon` has those of how it was made."""

import re
from collections.abc import Sequence

from unfooled.grid import Table
from unfooled.outcomes import CLEAN, CORRUPTED, CORRUPTION, WORST
from unfooled.report import Report
from unfooled.results import Comparison, RecipeResult
from unfooled.wording import interval, percent, points, points_interval, quoted

_STEPS = 3  # recipes whose steps the first page can hold
_LONG = 13  # letters
_PAIRS = 30  # compared, with all of which a table is still read
_CHANGE = ("change, points", "95 % interval of it", "verdict")


def steps(report: Report, baseline: RecipeResult) -> Table:
    """The four steps: train, attack, train with transformations, attack."""
    results, eps = report.results, report.study.answer_eps
    asked = [recipe for recipe in results.featured[1:] if not recipe.control]
    if len(asked) > _STEPS:  # the best and the worst alone
        asked.sort(key=lambda recipe: -recipe.curve(WORST, results.norm).at(eps).value)
        asked = [asked[0], asked[-1]]
    rows: list[tuple[str, ...]] = []
    first, norm = results.first, results.norm
    for recipe in [baseline, *asked]:
        train, strike = ("1", "2") if recipe is baseline else ("3", "4")
        rows.append(
            (
                f"{train}. Train: {recipe.title}",
                "no attack",
                f"{100 * recipe.clean.value:.2f}",
                interval(recipe.clean, 2),
                *_change(results.compared(recipe.name, CLEAN, 0.0)),
            )
        )
        strikes = dict.fromkeys(((first.attack, eps), (WORST, eps), (WORST, first.eps[-1])))
        for place, (kind, at) in enumerate(strikes):
            estimate = recipe.curve(kind, norm).at(at)
            rows.append(
                (
                    f"{strike}. Attack it" if place == 0 else "",
                    f"{kind}, eps {at:g}",
                    f"{100 * estimate.value:.1f}",
                    interval(estimate),
                    *_change(results.compared(recipe.name, kind, at)),
                )
            )
    return Table(
        "The four steps",
        ("step", "measured under", "correct, %", "95 % interval", *_CHANGE),
        tuple(rows),
        f"{report.study.split.capitalize()} images: {baseline.clean.images:,} for clean accuracy, "
        f"{first.images:,} for {first.attack}, {baseline.curve(WORST, norm).images:,} for the "
        "worst case of all attacks, image by image. Changes are paired with "
        f"{quoted(baseline.title)}.",
    )


def standing(report: Report) -> Table:
    """What each network that was there already reads, without and under attack."""
    results, eps = report.results, report.study.answer_eps
    norm, rows = results.norm, list[tuple[str, ...]]()
    for recipe in results.recipes:
        clean = f"{100 * recipe.clean.value:.1f}", interval(recipe.clean)
        change = _change(results.compared(recipe.name, CLEAN, 0.0))
        rows.append((recipe.title, "no attack", *clean, *change))
        for curve in recipe.curves:
            if curve.norm != norm or eps not in curve.eps:
                continue
            estimate = curve.at(eps)
            rows.append(
                (
                    "",
                    f"{curve.attack}, eps {eps:g}",
                    f"{100 * estimate.value:.1f}",
                    interval(estimate),
                    *_change(results.compared(recipe.name, curve.attack, eps)),
                )
            )
    one = results.recipes[0]
    paired = f" Changes are paired with {quoted(one.title)}." if results.recipes[1:] else ""
    head = ("network", "measured under", "correct, %", "95 % interval", *_CHANGE)
    count = len(head) if results.recipes[1:] else len(head) - len(_CHANGE)
    return Table(
        "Without attack, and under each",
        head[:count],
        tuple(row[:count] for row in rows),
        f"{one.curve(WORST, norm).images:,} {report.study.split} images in {norm}; intervals are "
        f"over the images.{paired}",
    )


def pairs(report: Report) -> Table:
    """The pairs of recipes that are compared, under the worst case at the study's eps.

    All of them, or those with the baseline where there are many.
    """
    results, eps = report.results, report.study.answer_eps
    titles = {recipe.name: recipe.title for recipe in results.recipes}
    compared = [
        one
        for one in results.comparisons
        if (one.against, one.norm, one.eps) == (WORST, results.norm, eps)
    ]
    others = "apart from them over the other pairs"
    if len(compared) > _PAIRS:
        compared = [one for one in compared if one.first == report.study.recipes[0].name]
        others += ", which are in results.json"
    rows = [
        (
            f"{titles[one.second]} less: {titles[one.first]}",
            points(one.difference.value),
            points_interval(one.difference),
            "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
            f"{100 * one.detectable:.1f}",
            one.verdict,
        )
        for one in compared
    ]
    return Table(
        f"Paired differences under the worst case, eps {eps:g}",
        ("pair", "points", "95 % interval", "p (Holm)", "detectable", "verdict"),
        tuple(rows),
        f"Holm's correction runs over the comparisons with the baseline, and {others}.",
    )


def robust(report: Report) -> list[Table]:
    """A table for each attack: recipes against eps."""
    tables = []
    for curve in report.results.recipes[0].curves:
        rows = []
        for recipe in report.results.recipes:
            own = recipe.curve(curve.attack, curve.norm)
            rows.append((recipe.title, *(f"{100 * e.value:.1f}" for e in own.robust)))
            rows.append(
                ("", *(f"{100 * e.low:.1f}\N{EN DASH}{100 * e.high:.1f}" for e in own.robust))
            )
        name = (
            "Worst case of all attacks, image by image" if curve.attack == WORST else curve.attack
        )
        tables.append(
            Table(
                f"{name}: read correctly, in per cent",
                (_row(report), *(f"eps {eps:g}" for eps in curve.eps)),
                tuple(rows),
                f"{curve.norm}, {curve.images:,} {report.study.split} images; below each number "
                "its 95 % interval. An image that was fooled at a small eps counts as fooled at "
                f"every larger one.{_WHICH if curve.attack == WORST else ''}",
            )
        )
    return tables


_WHICH = " At an eps that not every attack tried it is the worst of those that did."


def _row(report: Report) -> str:
    """What stands at the left of a table."""
    return "network" if report.study.given else "recipe"


def corrupted(report: Report) -> Table:
    """A row for each corruption, a column for each recipe that a page can hold."""
    recipes = report.results.featured
    rows = []
    for name in recipes[0].corrupted:
        cells = []
        for recipe in recipes:
            cells.append(f"{100 * recipe.corrupted[name].value:.1f}")
            one = report.results.compared(recipe.name, name, 0.0, norm=CORRUPTION)
            cells[-1] += f" ({points(one.difference.value)})" if one else ""
        rows.append((name.replace("_", " "), *cells))
    return Table(
        "Common corruptions: read correctly, in per cent",
        ("corruption", *(_breakable(recipe.title) for recipe in recipes)),
        tuple(rows),
        f"Means over the severities and {recipes[0].corrupted[CORRUPTED].images:,} "
        f"{report.study.split} images; in brackets the change from the first recipe in points. "
        "Those that come with unfooled are MNIST-C's (Mu and Gilmer 2019), generated anew.",
    )


def _breakable(title: str) -> str:
    """A title that may go on in the next line inside a name that is longer than a column."""
    if max(map(len, title.split())) < _LONG:
        return title
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\N{ZERO WIDTH SPACE}", title)


def bracket(report: Report) -> Table:
    """What is certain of each recipe, what is left after all attacks, and what is not known."""
    rows = []
    for recipe in report.results.recipes:
        one = recipe.bracket
        if one is None:
            continue
        for place, eps in enumerate(one.eps):
            ends = (one.certified[place], one.attacked[place], one.unknown[place])
            cells = (f"{100 * end.value:.1f} ({interval(end)})" for end in ends)
            rows.append(("" if place else recipe.title, f"{eps:g}", *cells))
    shown = report.results.recipes[0].bracket
    images = f"{shown.images:,} {report.study.split} images" if shown else ""
    norm = shown.norm if shown else ""
    return Table(
        "Certified, and left after all attacks, in per cent",
        (_row(report), f"{norm} eps", "certified", "left after attacks", "unknown"),
        tuple(rows),
        f"On {images}, with 95 % intervals. Certified: no change within eps fools the network, in "
        "exact arithmetic. Left: neither an attack nor the search beside the bounds found one that "
        "does. The truth lies between the two.",
    )


def audit(report: Report) -> Table:
    """What every check came to: each recipe in which it found something, the others at once."""
    rows: list[tuple[str, ...]] = []
    titles = {recipe.name: recipe.title for recipe in report.study.recipes}
    for check in sorted({one.check for one in report.findings}):
        own = [one for one in report.findings if one.check == check]
        fine = [one for one in own if one.verdict == "ok"]
        for one in own:
            if one not in fine:
                title = f"{titles[one.recipe]}: " if one.recipe else ""
                rows.append((check.replace("_", " "), f"{title}{one.sentence}", one.verdict))
        if fine:
            most = max(fine, key=lambda one: one.value or 0.0)
            who = titles.get(most.recipe, "")
            others = f"{len(fine)} {_row(report)}s, such as " if len(fine) > 1 else ""
            told = f"{others}{who}{': ' * bool(who)}{most.sentence}"
            rows.append((check.replace("_", " "), told, "ok"))
    return Table(
        "Checks",
        ("check", "what was looked at", "verdict"),
        tuple(rows),
        f"On {report.study.audit.images:,} {report.study.split} images, with 95 % intervals over "
        f"them. A check fails where the lower end lies above {100 * report.study.margin:g} points.",
    )


_USED = {
    "test": "The test images were used once, at the end.",
    "validation": "Everything in this report was measured on the validation images, for whoever is "
    "still choosing; the test images were not touched.",
}


def learned(report: Report) -> Table:
    """What each recipe reads without attack."""
    split = report.study.split
    rows = []
    for recipe in report.results.recipes:
        own = [f"{_mean(values)}" for values in (recipe.validation, recipe.transformed)]
        count = f"{len(recipe.overfitted)} of {len(recipe.seeds)}"
        watched = recipe.history[0][-1]["several_steps"] is not None
        rows.append((recipe.title, *own, percent(recipe.clean.value, 2), count if watched else "-"))
    return Table(
        "Without attack",
        ("recipe", "validation", "validation, transformed", split, "overfitted to one step"),
        tuple(rows),
        "Means over the seeds. Validation images are held-out training images; they were measured "
        f"after every epoch, as they are and with the recipe's transformations. {_USED[split]}",
    )


def aimed(report: Report) -> Table:
    """For each attack with targets, how many images it turned into the class that was wanted."""
    classes = report.environment["data"]["classes"]
    rows = []
    for one in report.results.targeted:
        extremes = one.extremes()
        told = ["", ""]
        for place, (row, column) in enumerate(extremes or ()):
            cell = one.cells[row][column]
            if cell is not None:
                told[place] = (
                    f"{classes[row]} to {classes[column]}: {100 * cell.value:.0f} "
                    f"({interval(cell, 0)})"
                )
        rows.append(
            (
                report.results.recipe(one.recipe).title,
                f"{one.attack}, {one.norm} {one.eps:g}",
                percent(one.turned.value),
                interval(one.turned),
                *told,
            )
        )
    return Table(
        "Images that can be turned into a chosen class",
        (
            _row(report),
            "attack",
            "turned",
            "95 % interval",
            "most often, in %",
            "least often, in %",
        ),
        tuple(rows),
        f"Turned: the share of the {report.study.split} images that the attack turned into the "
        "class chosen for them (into at least one, where every other class was a target).",
    )


def summary(report: Report) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of the short table that a terminal shows."""
    results, eps = report.results, report.study.answer_eps
    first, norm = results.first, results.norm
    head = (f"eps {eps:g}", "no attack", first.attack, WORST, "change in points", "verdict")
    rows = []
    for recipe in results.recipes:
        worst = recipe.curve(WORST, norm).at(eps)
        one = results.compared(recipe.name, WORST, eps)
        change = (
            f"{points(one.difference.value)} ({points_interval(one.difference)})" if one else ""
        )
        alone = recipe.curve(first.attack, norm).at(eps)
        cells = (percent(recipe.clean.value), percent(alone.value), percent(worst.value))
        rows.append((recipe.title, *cells, change, one.verdict if one else "baseline"))
    return head, tuple(rows)


def _change(one: Comparison | None) -> tuple[str, str, str]:
    """Cells under `_CHANGE`, empty for what nothing is compared with."""
    if one is None:
        return "", "", ""
    return points(one.difference.value), points_interval(one.difference), one.verdict


def _mean(values: Sequence[float]) -> str:
    return percent(sum(values) / len(values), 2)
