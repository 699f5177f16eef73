import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import toys

from unfooled.evaluation import Evaluation
from unfooled.outcomes import CLEAN, WORST, Facts
from unfooled.results import Results, build
from unfooled.study import Study, Sweep
from unfooled.threat import Threat

HEAD = {"history": [{"loss": 1.0, "validation": 0.9, "transformed": 0.8}], "overfitted": None}
SWEEPS = (
    Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.2)),
    Sweep("pgd", {"steps": 5}, "Linf", (0.0, 0.1, 0.2), images=3),
)


def facts(
    sweep: Sweep,
    ids: list[int],
    read_as: list[list[int]],
    *,
    clean: list[int] | None = None,
    inside: list[list[bool]] | None = None,
) -> Evaluation:
    """Facts about images whose label is 0; `read_as` has a row for each eps above 0."""
    n = len(ids)
    return toys.evaluation(
        read_as,
        attack=sweep.attack,
        threats=tuple(sweep.threats),
        ids=np.array(ids),
        clean=np.array(clean or [0] * n),
        inside=np.array(inside) if inside else np.ones((len(read_as), n), dtype=bool),
    )


FGSM = facts(SWEEPS[0], [0, 1, 2, 3, 4, 5], [[0, 0, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0]])
PGD = facts(SWEEPS[1], [1, 3, 5], [[0, 2, 0], [0, 2, 0]])


def built(study: Study | None = None, **changes: Any) -> Results:
    """Two recipes, two seeds, the same facts for all, but for `changes` by "recipe seed sweep"."""
    study = study or toys.study(sweeps=SWEEPS)
    given: dict[tuple[int, int, int], Evaluation] = {
        (recipe, seed, sweep): one
        for recipe in range(len(study.recipes))
        for seed in range(study.seeds)
        for sweep, one in enumerate((FGSM, PGD))
    }
    for place, one in changes.items():
        recipe, seed, sweep = map(int, place.removeprefix("at_").split("_"))
        given[recipe, seed, sweep] = one
    heads = {(r, s): HEAD for r in range(len(study.recipes)) for s in range(study.seeds)}
    return build(study, {k: v for k, v in given.items() if v is not None}, heads, 3)


def shares(found: Results, attack: str, recipe: str = "plain") -> list[float]:
    return [estimate.value for estimate in found.recipe(recipe).curve(attack, "Linf").robust]


def test_an_attacks_curve_begins_with_the_accuracy_without_attack() -> None:
    found = built()
    curve = found.recipe("plain").curve("FGSM", "Linf")
    assert curve.eps == (0.0, 0.1, 0.2)
    assert (curve.images, curve.norm) == (6, "Linf")
    assert shares(found, "FGSM") == pytest.approx([1, 5 / 6, 4 / 6])
    assert shares(found, "PGD-5") == pytest.approx([1, 2 / 3, 2 / 3])
    assert curve.at(0.1).value == pytest.approx(5 / 6)


def test_the_worst_case_merges_the_attacks_on_their_common_images_one_by_one() -> None:
    # Common: 1, 3, 5. At 0.1 PGD fools 3; at 0.2 FGSM fools 1 as well.
    found = built()
    curve = found.recipe("plain").curve(WORST, "Linf")
    assert curve.images == 3
    assert shares(found, WORST) == pytest.approx([1, 2 / 3, 1 / 3])


def test_the_worst_case_is_never_better_than_any_attack_on_those_images() -> None:
    found = built()
    for worst, pgd in zip(shares(found, WORST), shares(found, "PGD-5"), strict=True):
        assert worst <= pgd


def test_the_worst_case_counts_an_eps_that_only_one_attack_has() -> None:
    sweeps = (SWEEPS[0], Sweep("pgd", {"steps": 5}, "Linf", (0.0, 0.15)))
    study = toys.study(sweeps=sweeps, seeds=1)
    pgd = facts(sweeps[1], [1, 3, 5], [[0, 2, 0]])
    found = built(study, at_0_0_1=pgd, at_1_0_1=pgd)
    curve = found.recipe("plain").curve(WORST, "Linf")
    # What PGD fooled at 0.15 stays fooled at 0.2, where only FGSM was tried again.
    assert curve.eps == (0.0, 0.1, 0.15, 0.2)
    assert shares(found, WORST) == pytest.approx([1, 1, 2 / 3, 1 / 3])


def test_every_curve_falls_as_eps_grows() -> None:
    generator = np.random.default_rng(0)
    read = generator.integers(0, 2, (2, 6)).tolist()  # an attack that finds less at a larger eps
    found = built(at_0_0_0=facts(SWEEPS[0], list(range(6)), read))
    for attack in ("FGSM", "PGD-5", WORST):
        assert (np.diff(shares(found, attack)) <= 1e-12).all()


def test_an_image_misread_without_attack_stands_nowhere() -> None:
    clean = [1, 0, 0, 0, 0, 0]
    wrong = facts(SWEEPS[0], list(range(6)), [[0] * 6, [0] * 6], clean=clean)
    found = built(at_0_0_0=wrong, at_0_1_0=wrong)
    assert found.recipe("plain").clean.value == pytest.approx(5 / 6)
    assert shares(found, "FGSM") == pytest.approx([5 / 6, 5 / 6, 5 / 6])


def test_the_clean_accuracy_is_that_of_the_sweep_with_the_most_images() -> None:
    assert built().recipe("plain").clean.images == 6


def test_two_norms_are_never_merged() -> None:
    sweeps = (SWEEPS[0], Sweep("pgd", {"steps": 5}, "L2", (0.0, 1.0)))
    pgd = facts(sweeps[1], [1, 3, 5], [[1, 1, 1]])
    found = built(toys.study(sweeps=sweeps, seeds=1), at_0_0_1=pgd, at_1_0_1=pgd)
    worst = [curve for curve in found.recipe("plain").curves if curve.attack == WORST]
    assert [(curve.norm, curve.images) for curve in worst] == [("Linf", 6), ("L2", 3)]
    assert [estimate.value for estimate in worst[0].robust] == pytest.approx([1, 5 / 6, 4 / 6])
    assert [estimate.value for estimate in worst[1].robust] == pytest.approx([1, 0])


def test_recipes_are_compared_on_the_seeds_that_both_have() -> None:
    found = built(toys.study(sweeps=SWEEPS, seeds=3), at_1_1_0=None)
    assert found.recipe("plain").seeds == (0, 1, 2)
    assert found.recipe("flips").seeds == (0, 2)
    assert found.missing == ("flips-1",)
    compared = found.compared("flips", CLEAN, 0.0)
    assert compared is not None
    assert compared.difference.seeds == 2


def test_a_recipe_without_any_result_is_missing_and_compared_with_nothing() -> None:
    found = built(at_1_0_0=None, at_1_1_1=None)
    assert [recipe.name for recipe in found.recipes] == ["plain"]
    assert found.missing == ("flips-0", "flips-1")
    assert found.comparisons == ()
    assert found.compared("flips", WORST, 0.1) is None


def test_without_any_facts_there_is_nothing_but_holes() -> None:
    found = build(toys.study(), {}, {}, 3)
    assert found.recipes == found.comparisons == ()
    assert found.missing == ("plain-0", "plain-1", "flips-0", "flips-1")


def test_a_positive_difference_means_that_the_second_recipe_is_better() -> None:
    stands = facts(SWEEPS[0], list(range(6)), [[0] * 6, [0] * 6])
    found = built(at_1_0_0=stands, at_1_1_0=stands)
    compared = found.compared("flips", "FGSM", 0.2)
    assert compared is not None
    assert compared.difference.value == pytest.approx(2 / 6)
    clean = found.compared("flips", CLEAN, 0.0)
    assert clean is not None
    assert clean.difference.value == 0


def test_comparisons_with_the_baseline_are_corrected_for_each_other() -> None:
    one = toys.study(sweeps=SWEEPS, seeds=5)
    stands = facts(SWEEPS[0], list(range(6)), [[0] * 6, [0] * 6])
    recipes = (*one.recipes, *(type(one.recipes[0])(name, name) for name in ("c", "d")))
    four = toys.study(sweeps=SWEEPS, seeds=5, recipes=recipes)
    changed = {f"at_1_{seed}_0": stands for seed in range(5)}
    alone = built(one, **changed).compared("flips", "FGSM", 0.2)
    among = built(four, **changed).compared("flips", "FGSM", 0.2)
    assert alone is not None
    assert among is not None
    assert among.difference == alone.difference
    assert among.p == pytest.approx(min(1, 3 * alone.p))


def test_every_pair_of_recipes_is_compared_once() -> None:
    recipes = tuple(type(toys.study().recipes[0])(name, name) for name in "abc")
    found = built(toys.study(sweeps=SWEEPS, recipes=recipes))
    pairs = [(one.first, one.second) for one in found.comparisons if one.against == CLEAN]
    assert sorted(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_images_outside_the_threat_are_counted_by_attack() -> None:
    inside = [[True, False, True, True, True, True], [False, False, True, True, True, True]]
    wild = facts(SWEEPS[0], list(range(6)), [[1] * 6, [1] * 6], inside=inside)
    found = built(at_0_0_0=wild)
    assert found.outside == {"FGSM": 3}
    assert built().outside == {}


def test_the_confusion_is_that_of_the_worst_case_at_the_studys_eps() -> None:
    # Common images 1, 3, 5 at 0.1: PGD has 3 read as 2; the others are read as what they are.
    found = built().recipe("plain").confusion
    assert np.shape(found) == (3, 4)
    assert found[0] == pytest.approx((2 / 3, 0, 1 / 3, 0))
    assert found[1] == found[2] == (0, 0, 0, 0)


def test_what_is_read_as_nothing_has_a_column_of_its_own() -> None:
    nothing = facts(SWEEPS[1], [1, 3, 5], [[-1, 0, 0], [-1, 0, 0]])
    found = built(at_0_0_1=nothing, at_0_1_1=nothing).recipe("plain")
    assert found.confusion[0] == pytest.approx((2 / 3, 0, 0, 1 / 3))


def test_seeds_that_overfitted_and_the_last_validation_are_told() -> None:
    study = toys.study(sweeps=SWEEPS)
    given: Facts = {(r, s, w): (FGSM, PGD)[w] for r in (0, 1) for s in (0, 1) for w in (0, 1)}
    heads: dict[tuple[int, int], dict[str, Any]] = {(r, s): HEAD for r in (0, 1) for s in (0, 1)}
    heads[1, 1] = {**HEAD, "overfitted": 2}
    found = build(study, given, heads, 3)
    assert found.recipe("flips").overfitted == (1,)
    assert found.recipe("plain").overfitted == ()
    assert found.recipe("plain").validation == (0.9, 0.9)
    assert found.recipe("plain").transformed == (0.8, 0.8)


def test_the_numbers_do_not_depend_on_the_order_in_which_facts_came() -> None:
    study = toys.study(sweeps=SWEEPS)
    given: Facts = {(r, s, w): (FGSM, PGD)[w] for r in (0, 1) for s in (0, 1) for w in (0, 1)}
    heads = {(r, s): HEAD for r in (0, 1) for s in (0, 1)}
    one = build(study, given, heads, 3)
    other = build(study, dict(reversed(given.items())), dict(reversed(heads.items())), 3)
    assert json.dumps(asdict(one)) == json.dumps(asdict(other))


def test_the_norm_of_the_answer_is_that_of_the_attack_with_its_eps() -> None:
    sweeps = (Sweep("fgsm", {}, "L2", (0.0, 1.0)), Sweep("fgsm", {}, "Linf", (0.0, 0.1)))
    norms = [facts(sweep, [1, 2], [[0, 1]]) for sweep in sweeps]
    found = built(
        toys.study(sweeps=sweeps, seeds=1),
        **{f"at_{recipe}_0_{sweep}": norms[sweep] for recipe in (0, 1) for sweep in (0, 1)},
    )
    assert found.norm == "Linf"
    assert found.first.norm == "Linf"
    one = found.compared("flips", WORST, 0.1)
    assert one is not None
    assert one.norm == "Linf"


def test_an_attack_that_met_its_images_under_any_seed_in_one_order_is_assumed_nowhere() -> None:
    threat = Threat("Linf", 0.1)
    assert threat in SWEEPS[0].threats
    assert Threat("Linf", 0.0) not in SWEEPS[0].threats
