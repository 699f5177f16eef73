from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
import toys

from unfooled.answer import Answer, answer
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
        "weaker": {},
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
    assert any("3 of at least 5 seeds" in doubt.sentence for doubt in found.doubts)


def test_without_doubts_there_are_none() -> None:
    assert answer(results()).doubts == ()


def withheld(found: Answer) -> bool:
    return found.short == "Not shown." and found.sentence.startswith("The verdict is withheld.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"missing": ("plain-3", "noisy-1")}, "2 networks have no result: plain-3, noisy-1"),
        ({"outside": {"FGSM": 7}}, "FGSM returned 7 images outside eps"),
        ({"last": 0.3}, "still reads 30.0"),
        (
            {"verdicts": ("helps", "helps", "cannot tell", "hurts")},
            "positive control, Adversarial training, did not help",
        ),
    ],
)
def test_a_serious_doubt_withholds_the_verdict(changes: dict[str, Any], said: str) -> None:
    found = answer(results(**changes))
    assert withheld(found)
    assert said in found.doubts[0].sentence
    assert found.doubts[0].serious


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"overfitted": (1, 4)}, "catastrophic overfitting in 2 of 5 trainings"),
        ({"weaker": {"PGD-40": 1234}}, "PGD-40 missed 1,234 pairs"),
        (
            {"verdicts": ("helps", "hurts", "helps", "helps"), "values": (0.1, -0.1, 0.5, 0.3)},
            "sham control, Label smoothing, seems to help",
        ),
    ],
)
def test_a_lesser_doubt_is_told_beside_the_verdict(changes: dict[str, Any], said: str) -> None:
    found = answer(results(**changes))
    assert not withheld(found)
    assert any(said in doubt.sentence and not doubt.serious for doubt in found.doubts)


def test_serious_doubts_come_first() -> None:
    found = answer(results(weaker={"PGD-40": 1}, missing=("plain-1",), seeds=3))
    assert [doubt.serious for doubt in found.doubts] == [True, False, False]


def test_a_stronger_attack_that_missed_nothing_is_no_doubt() -> None:
    assert answer(results(weaker={"PGD-40": 0})).doubts == ()


def test_an_undefended_network_is_doubted_only_at_a_large_eps() -> None:
    found = results(last=0.9)
    small = tuple(
        result(
            recipe,
            5,
            0.9,
            curves=(Curve(WORST, "Linf", 9, (0.0, 0.1), found.recipes[0].curves[0].robust[:2]),),
        )
        for recipe in RECIPES
    )
    assert answer(results(recipes=small)).doubts == ()


def test_an_interval_is_written_from_its_lower_to_its_upper_end() -> None:
    assert points_interval(Estimate(0.0, -0.0123, 0.0456, 10, 5)) == f"{MINUS}1.2 to +4.6"


def test_mirrored_digits_are_told_where_the_classes_are_digits() -> None:
    flipped = Recipe("flip", "Flipped", transforms=(("RandomHorizontalFlip", {}),))
    found = results()
    study = {**found.study, "recipes": [*found.study["recipes"], asdict(flipped)]}
    found = replace(found, study=study)
    told = [doubt.sentence for doubt in answer(found, tuple("0123456789")).doubts]
    assert any(one.startswith("Flipped: RandomHorizontalFlip mirrors digits") for one in told)
    assert not any("mirrors" in doubt.sentence for doubt in answer(found, ("cat", "dog")).doubts)


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
