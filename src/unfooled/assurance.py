"""How sure an answer is, in a few short sentences for the first page."""

from collections import Counter

from unfooled.outcomes import WORST
from unfooled.report import Report
from unfooled.results import RecipeResult
from unfooled.statistics import FEWEST_SEEDS, HELPS
from unfooled.wording import points, points_interval, quoted

_ORDER = ("failed", "doubt", "not tried", "ok")  # of what a check came to, the worst first
_SAID = {"ok": "ok", "not tried": "not tried", "doubt": "in doubt", "failed": "failed"}


def assurance(report: Report) -> tuple[str, ...]:
    """What the numbers rest on, how the controls behaved, and what the audit found."""
    found = [_basis(report)]
    controls = [_control(report, recipe) for recipe in report.results.recipes]
    found += [" ".join(one for one in controls if one)] if any(controls) else []
    found += [_audit(report)] if report.findings else []
    return tuple(found)


def _basis(report: Report) -> str:
    results, study = report.results, report.study
    images = results.recipes[0].curve(WORST, results.norm).images
    attacks = len({s.title for s in study.sweeps if s.norm == results.norm and not s.targets})
    measured = (
        f"the worst case is taken over {attacks} {'attack' if attacks == 1 else 'attacks'} on "
        f"{images:,} {study.split} images"
    )
    if study.given:
        return f"{measured[0].upper()}{measured[1:]}; intervals (95 %) cover those images alone."
    seeds = study.seeds
    trained = f"Each recipe was trained with {seeds} {'seed' if seeds == 1 else 'seeds'}"
    few = f" With fewer than {FEWEST_SEEDS} seeds there are numbers and no verdict."
    chance = "seeds and images" if seeds > 1 else "the images alone"
    return (
        f"{trained}; {measured}. Intervals (95 %) cover {chance}, and verdicts are corrected for "
        f"the number of comparisons.{few if seeds < FEWEST_SEEDS else ''}"
    )


def _control(report: Report, recipe: RecipeResult) -> str:
    one = report.results.compared(recipe.name, WORST, report.study.answer_eps)
    if not recipe.control or one is None:
        return ""
    change = f"{points(one.difference.value)} points, {points_interval(one.difference)}"
    who = f"The {recipe.control} control, {quoted(recipe.title)},"
    if recipe.control == "positive":
        if one.verdict == HELPS:
            return f"{who} helps, as it must ({change})."
        return f"{who} must help, and here: {one.verdict} ({change})."
    if one.verdict == HELPS:
        return f"{who} seems to help, which it cannot ({change})."
    return f"{who} does not seem to help, and must not: {one.verdict} ({change})."


def _audit(report: Report) -> str:
    worst: dict[str, str] = {}
    for one in report.findings:
        before = worst.get(one.check, _ORDER[-1])
        worst[one.check] = min(before, one.verdict, key=_ORDER.index)
    counts = Counter(worst.values())
    told = [f"{counts[one]} {said}" for one, said in _SAID.items() if counts[one]]
    names = [check.replace("_", " ") for check, verdict in worst.items() if verdict == "doubt"]
    which = f" In doubt: {', '.join(sorted(names))}; a doubt withholds no verdict." if names else ""
    return f"{len(worst)} checks of the numbers: {', '.join(told)}.{which}"
