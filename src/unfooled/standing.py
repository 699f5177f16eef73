"""How networks that were there already stand, in words: a pure function of `Results`."""

from unfooled.outcomes import WORST
from unfooled.results import Comparison, RecipeResult, Results
from unfooled.statistics import BETTER, NO_DIFFERENCE, NOT_SHOWN, WORSE
from unfooled.wording import interval, listed, percent, points, points_interval, quoted

_LISTED = 4  # networks that a sentence can hold one by one


def standing(results: Results) -> tuple[str, str]:
    """The answer in a few words, and in a sentence with its numbers.

    At the study's eps, under the worst case of its attacks.
    """
    first, *others = results.recipes
    eps = float(results.study["answer_eps"])
    worst = first.curve(WORST, results.norm).at(eps)
    where = f"At {results.norm} eps {eps:g}, over {worst.images:,} images (95\N{NO-BREAK SPACE}%"
    clauses = [_alone(one, results.norm, eps) for one in results.recipes]
    if not others:
        short = f"{percent(worst.value)} stand."
        return short, f"{where} interval), {clauses[0]}."
    if len(others) >= _LISTED:
        order = sorted(
            results.recipes, key=lambda one: one.curve(WORST, results.norm).at(eps).value
        )
        ends = listed([_alone(one, results.norm, eps) for one in (order[-1], order[0])])
        number = f"of {len(clauses)} networks, from the best to the worst, {ends}"
        return f"{order[-1].title} leads.", f"{where} intervals), {number}."
    compared = [results.compared(one.name, WORST, eps) for one in others]
    pairs = [_pair(one, results) for one in compared if one is not None]
    sentence = f"{where} intervals), {listed(clauses)}; {listed(pairs)}."
    verdicts = [one.verdict for one in compared if one is not None]
    return _short(verdicts, [first, *others]), sentence


def _alone(recipe: RecipeResult, norm: str, eps: float) -> str:
    """Such as: "x" reads 88.9 % (87.0 to 90.8) under the worst attack, and 99.1 % without one."""
    worst = recipe.curve(WORST, norm).at(eps)
    found = (
        f"{quoted(recipe.title)} reads {percent(worst.value)} ({interval(worst)}) correctly under "
        f"the worst of all attacks, {percent(recipe.clean.value)} without one"
    )
    shown = recipe.certified
    if shown is not None and shown.norm == norm and eps in shown.eps:
        found += f", and is certified for {percent(shown.at(eps).value)}"
    return found


def _pair(one: Comparison, results: Results) -> str:
    first, second = (
        quoted(results.recipe(one.first).title),
        quoted(results.recipe(one.second).title),
    )
    change = f"{points(one.difference.value)} points, {points_interval(one.difference)}"
    if one.verdict == NO_DIFFERENCE:
        most = max(abs(one.difference.low), abs(one.difference.high))
        return f"{second} and {first} differ by no more than {100 * most:.1f} points ({change})"
    if one.verdict == NOT_SHOWN:
        return f"how {second} and {first} differ is not shown ({change})"
    if one.verdict in (BETTER, WORSE):
        return f"{second} {one.verdict} than {first} ({change})"
    return f"it cannot be told whether {second} stands better than {first} ({change})"


def _short(verdicts: list[str], recipes: list[RecipeResult]) -> str:
    if set(verdicts) == {NO_DIFFERENCE}:
        return "No difference."
    better = [one for one, said in zip(recipes[1:], verdicts, strict=True) if said == BETTER]
    if len(better) == 1:
        return f"{better[0].title} stands better."
    if not better and set(verdicts) == {WORSE}:
        return f"{recipes[0].title} stands best."
    return "Cannot tell." if not better else "They differ."
