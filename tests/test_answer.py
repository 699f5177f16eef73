from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import toys

from unfooled.answer import Answer, answer, withheld
from unfooled.finding import Finding
from unfooled.outcomes import CLEAN, WORST
from unfooled.recipe import Recipe
from unfooled.results import Comparison, Curve, RecipeResult, Results
from unfooled.statistics import Estimate
from unfooled.study import Sweep
from unfooled.wording import points_interval

RECIPES = (
    Recipe("plain", "No transformations"),
    Recipe("turned", "Rotation, shift"),
    Recipe("noisy", "Noise"),
    Recipe("guarded", "Adversarial training", control="positive"),
    Recipe("sham", "Label smoothing", control="sham"),
)
MINUS = "\N{MINUS SIGN}"


def estimate(value: float, seeds: int = 5, half: float = 0.02) -> Estimate:
    return Estimate(value, value - half, value + half, 1000, seeds)


def result(recipe: Recipe, seeds: int, last: float, **changes: Any) -> RecipeResult:
    robust = tuple(estimate(value, seeds) for value in (0.98, 0.6, last))
    curves = (Curve(WORST, "Linf", 1000, (0.0, 0.1, 0.3), robust),)
    given = {
        "seeds": tuple(range(seeds)),
        "clean": robust[0],
        "validation": (0.9,),
        "transformed": (0.9,),
        "curves": curves,
        "corrupted": {},
        "certified": None,
        "bracket": None,
        "overfitted": (),
        "confusion": (),
        "history": (),
    }
    return RecipeResult(recipe.name, recipe.title, recipe.control, **{**given, **changes})


def results(
    verdicts: Sequence[str] = ("cannot tell", "cannot tell", "helps", "hurts"),
    *,
    seeds: int = 5,
    values: Sequence[float] = (-0.05, 0.1, 0.5, -0.01),
    last: float = 0.05,
    overfitted: tuple[int, ...] = (),
    **changes: Any,
) -> Results:
    study = toys.study(
        recipes=RECIPES, seeds=seeds, sweeps=(Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.3)),)
    )
    comparisons = [
        Comparison(
            *("plain", recipe.name, against, "" if against == CLEAN else "Linf", eps),
            *(estimate(value, seeds), 0.01, 0.03, verdict),
        )
        for recipe, verdict, value in zip(RECIPES[1:], verdicts, values, strict=True)
        for against, eps in ((WORST, 0.1), (CLEAN, 0.0))
    ]
    given = {
        "study": study.plain(),
        "recipes": tuple(
            result(recipe, seeds, last, overfitted=overfitted if recipe.name == "guarded" else ())
            for recipe in RECIPES
        ),
        "comparisons": tuple(comparisons),
        "outside": {},
        "targeted": (),
        "missing": (),
    }
    return Results(**{**given, **changes})


@pytest.mark.parametrize(
    ("two", "short"),
    [
        (("helps", "helps"), "Harder to fool."),
        (("helps", "hurts"), "It depends on which."),
        (("helps", "cannot tell"), "It depends on which."),
        (("hurts", "hurts"), "Easier to fool."),
        (("hurts", "no difference"), "Not harder to fool."),
        (("no difference", "no difference"), "Not harder to fool."),
        (("hurts", "cannot tell"), "Cannot tell."),
        (("cannot tell", "cannot tell"), "Cannot tell."),
    ],
)
def test_the_short_answer_follows_the_verdicts(two: tuple[str, str], short: str) -> None:
    assert answer(results((*two, "helps", "hurts"))).short == short


def test_the_sentence_has_the_numbers_of_every_recipe_under_study_and_no_control() -> None:
    said = answer(results(("hurts", "helps", "helps", "hurts"))).sentence
    assert "eps 0.1" in said
    assert "60.0" in said
    assert f"{MINUS}5.0 points, {MINUS}7.0 to {MINUS}3.0" in said
    assert "+10.0 points, +8.0 to +12.0" in said
    assert "5 seeds, 1,000 images" in said
    assert "Adversarial" not in said
    assert "smoothing" not in said


def test_no_difference_says_how_large_one_could_hide() -> None:
    found = answer(
        results(("no difference", "hurts", "helps", "hurts"), values=(0.001, -0.1, 0.5, -0.01))
    )
    assert "no difference larger than 2.1 points" in found.sentence


def test_too_few_seeds_are_said_and_decide_nothing() -> None:
    found = answer(results(("cannot tell",) * 4, seeds=3))
    assert found.short == "Cannot tell."
    assert "with fewer than 5 seeds" in found.sentence


def test_without_doubts_there_are_none() -> None:
    assert answer(results()).doubts == ()


def hidden(found: Answer) -> bool:
    return found.short == "Not shown." and found.sentence.startswith("The verdict is withheld.")


def finding(recipe: str = "", verdict: str = "failed", check: str = "too_high") -> Finding:
    return Finding(check, verdict, f"{check} of it", recipe=recipe, advice="add square")


@pytest.mark.parametrize("recipe", ["", "plain", "guarded"])
def test_what_fails_of_the_study_the_baseline_or_a_positive_control_withholds_every_verdict(
    recipe: str,
) -> None:
    found = withheld(results(), [finding(recipe)])
    attacked = {one.verdict for one in found.comparisons if one.against != CLEAN}
    assert attacked == {"not shown"}
    assert "not shown" not in {one.verdict for one in found.comparisons if one.against == CLEAN}
    told = answer(found, [finding(recipe)])
    assert hidden(told)
    assert told.doubts[0].serious
    assert told.doubts[0].sentence.endswith("too_high of it. Next: add square.")


def test_one_of_several_recipes_that_fails_loses_its_own_verdict_alone() -> None:
    fallen = [finding("turned")]
    found = withheld(results(("helps", "helps", "helps", "hurts")), fallen)
    verdicts = {one.second: one.verdict for one in found.comparisons if one.against == WORST}
    assert verdicts["turned"] == "not shown"
    assert (verdicts["noisy"], verdicts["guarded"]) == ("helps", "helps")
    told = answer(found, fallen)
    assert told.short == "Harder to fool."
    assert "for “Rotation, shift” nothing is shown" in told.sentence
    assert told.doubts[0].serious
    assert told.doubts[0].sentence.startswith("Rotation, shift: too_high of it.")


def test_if_all_that_were_asked_fail_nothing_is_shown() -> None:
    fallen = [finding("turned"), finding("noisy")]
    assert hidden(answer(withheld(results(), fallen), fallen))


def test_a_sham_control_that_fails_is_a_note() -> None:
    fallen = [finding("sham")]
    told = answer(withheld(results(("helps",) * 4), fallen), fallen)
    assert told.short == "Harder to fool."
    assert [doubt.serious for doubt in told.doubts] == [False]
    assert told.doubts[0].sentence.startswith("The sham control fails the audit, as it should.")


def test_a_doubt_is_told_beside_the_verdict() -> None:
    found = [finding("noisy", "doubt"), finding("", "doubt", "seeds"), finding("turned", "ok")]
    told = answer(results(("helps",) * 4), found)
    assert told.short == "Harder to fool."
    assert [doubt.sentence for doubt in told.doubts] == ["seeds of it.", "Noise: too_high of it."]


def test_many_doubts_about_recipes_are_counted() -> None:
    found = [finding("noisy", "doubt", f"check_{place}") for place in range(7)]
    told = answer(results(), found)
    assert len(told.doubts) == 1
    assert told.doubts[0].sentence.startswith("7 further doubts about 1 recipe stand below: check")


def test_what_failed_says_most_of_all_that_it_is_shown_and_names_the_rest() -> None:
    found = [finding("plain", check="black_box"), finding("plain")]
    assert (
        "too_high of it. Also failed: black box. Next"
        in answer(results(), found).doubts[0].sentence
    )


def test_an_interval_is_written_from_its_lower_to_its_upper_end() -> None:
    assert points_interval(Estimate(0.0, -0.0123, 0.0456, 10, 5)) == f"{MINUS}1.2 to +4.6"


def test_of_many_recipes_the_ends_are_named_and_the_others_counted() -> None:
    verdicts = ("helps", "helps", "hurts", "no difference", "cannot tell", "cannot tell", "hurts")
    names = [f"r{place}" for place in range(7)]
    recipes = [Recipe("plain", "Plain"), *(Recipe(name, name.upper()) for name in names)]
    study = toys.study(
        recipes=tuple(recipes), sweeps=(Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.3)),), seeds=5
    )
    comparisons = tuple(
        Comparison("plain", name, WORST, "Linf", 0.1, estimate(value), 0.01, 0.03, verdict)
        for name, verdict, value in zip(
            names, verdicts, (0.1, 0.2, -0.3, 0.0, 0.05, -0.05, -0.1), strict=True
        )
    )
    found = replace(
        results(),
        study=study.plain(),
        recipes=tuple(result(recipe, 5, 0.05) for recipe in recipes),
        comparisons=comparisons,
    )
    said = answer(found).sentence
    assert "of 7 recipes 2 help, most of all “R1” (+20.0 points, +18.0 to +22.0)" in said
    assert f"2 hurt, most of all “R2” ({MINUS}30.0 points" in said
    assert "1 makes no difference beyond 2 points, and for 2 it cannot be told" in said
