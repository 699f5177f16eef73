"""Checks that are given facts of which the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from test_answer import result, results
from test_check import N, evidence, facts_of, probed

from unfooled import catalog
from unfooled.bracket import Bracket
from unfooled.certified import Certified
from unfooled.check import Evidence
from unfooled.finding import Finding
from unfooled.probed import Probed
from unfooled.probing import PROBES
from unfooled.recipe import Recipe
from unfooled.results import Curve, Results

MANY, FEW = list(range(10, 30)), [12]


def verdicts(name: str, given: Evidence) -> dict[str, str]:
    """By recipe."""
    return {one.recipe: one.verdict for one in catalog.function("checks", name)(given)}


def of_second(name: str, own: Probed) -> Finding:
    found = catalog.function("checks", name)(evidence(own))
    return next(one for one in found if one.recipe == "flips")


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("too_high", "square"),
        ("too_high", "transfer"),
        ("random_search", "random"),
        ("more_steps", "margin"),
        ("black_box", "square"),
        ("black_box", "transfer"),
        ("rescaled_logits", "rescaled"),
        ("rescaled_logits", "shifted"),
    ],
)
def test_what_a_probe_finds_that_the_study_did_not(name: str, probe: str) -> None:
    assert of_second(name, probed()).verdict == "ok"
    assert of_second(name, probed(**{probe: FEW})).verdict == "doubt"
    found = of_second(name, probed(**{probe: MANY}))
    assert (found.verdict, found.value) == ("failed", 0.5)
    assert "50.0" in found.sentence
    assert verdicts(name, evidence(probed(**{probe: MANY})))["plain"] == "ok"


def test_what_the_study_found_itself_tells_against_nothing() -> None:
    assert of_second("too_high", probed(square=list(range(8)))).verdict == "ok"
    assert of_second("black_box", probed(square=MANY, margin=MANY)).verdict == "ok"
    assert of_second("rescaled_logits", probed(rescaled=MANY, as_is=MANY)).verdict == "ok"


def test_accuracy_without_bound_fails_where_every_attack_follows_the_gradient() -> None:
    left = replace(probed(), anywhere=np.zeros(N, dtype=np.int64))
    assert of_second("eps_without_bound", left).verdict == "failed"
    whole = evidence(left)
    fgsm, pgd = whole.study.sweeps
    blind = replace(whole.study, sweeps=(fgsm, replace(pgd, attack="square", options={})))
    assert verdicts("eps_without_bound", replace(whole, study=blind))["flips"] == "doubt"
    composed = replace(whole.study, sweeps=(fgsm, replace(pgd, attack="autoattack", options={})))
    assert verdicts("eps_without_bound", replace(whole, study=composed))["flips"] == "doubt"
    under_l1 = tuple(replace(sweep, norm="L1") for sweep in composed.sweeps)
    no_square = replace(whole, study=replace(composed, sweeps=under_l1))
    assert verdicts("eps_without_bound", no_square)["flips"] == "failed"


def test_images_that_grey_is_read_as_may_stand_without_bound() -> None:
    # A network that always says one class stands on all images of that class.
    constant = replace(probed(), anywhere=np.zeros(N, dtype=np.int64), grey=0)
    found = of_second("eps_without_bound", constant)
    assert (found.verdict, found.value) == ("ok", 0.0)
    assert "read as another class" in found.sentence
    nothing = replace(constant, grey=-1)
    assert of_second("eps_without_bound", nothing).verdict == "failed"


def test_what_could_not_be_attacked_without_bound_is_not_said_to_stand() -> None:
    kept = replace(probed(), anywhere=np.zeros(N, dtype=np.int64), astray="no gradient.")
    found = of_second("eps_without_bound", kept)
    assert (found.verdict, found.value) == ("not tried", None)
    assert found.sentence == "no attack could be made at Linf 0.5: no gradient"


@pytest.mark.parametrize(
    "name", ["too_high", "random_search", "more_steps", "black_box", "rescaled_logits"]
)
def test_what_no_probe_could_look_at_is_not_said_to_be_well(name: str) -> None:
    none = replace(probed(square=MANY), errors=("it gives no gradient.",) * len(PROBES))
    found = of_second(name, none)
    assert (found.verdict, found.value) == ("not tried", None)
    assert found.sentence == "no probe could be made: it gives no gradient"


def test_where_nothing_follows_the_gradient_a_black_box_beats_nothing() -> None:
    kept = [name in ("as is", "margin", "rescaled", "shifted") for name in PROBES]
    errors = tuple("it gives no gradient" if one else "" for one in kept)
    assert of_second("black_box", probed(square=MANY)).verdict == "failed"
    alone = replace(probed(square=MANY), errors=errors)
    assert of_second("black_box", alone).verdict == "not tried"
    assert of_second("too_high", alone).verdict == "failed"


def test_answers_that_change() -> None:
    assert of_second("random_answers", replace(probed(), repeated=np.ones(N))).verdict == "failed"
    watching = replace(probed(), watched=np.ones(N))
    assert of_second("watched_answers", watching).verdict == "failed"
    both = replace(watching, repeated=np.ones(N))
    assert "flips" not in verdicts("watched_answers", evidence(both))


def test_gradients_that_turn_are_a_doubt() -> None:
    for steady, verdict in ((0.0, "doubt"), (0.95, "ok"), (np.nan, "not tried")):
        found = of_second("noisy_gradients", replace(probed(), steady=np.full(N, steady)))
        assert found.verdict == verdict


@pytest.mark.parametrize(
    ("name", "check", "verdict", "told"),
    [
        ("gradients", "gradient", "refused", "failed"),
        ("gradients", "saturation", "doubt", "doubt"),
        ("examination", "numbers", "refused", "failed"),
        ("examination", "labels", "doubt", "doubt"),
        ("examination", "mode", "fixed", "ok"),
        ("examination", "output", "ok", "ok"),
    ],
)
def test_what_the_doctor_says_is_told(name: str, check: str, verdict: str, told: str) -> None:
    ill = replace(probed(), findings=(Finding(check, verdict, "it is so"),))
    found = of_second(name, ill)
    assert found.verdict == told
    assert told == "ok" or f"{check}: it is so (so in 1 of 1 networks)" == found.sentence


def test_an_attack_that_saw_what_the_judge_does_not_see() -> None:
    whole = evidence(probed())
    one = whole.facts[1, 0, 1]
    seen = replace(one, until=np.ones((1, N), dtype=np.int64))
    silent = replace(whole, facts={**whole.facts, (1, 0, 1): seen})
    assert verdicts("silent_success", silent)["flips"] == "failed"
    none = replace(one, until=np.full((1, N), -1))
    facts = {key: replace(f, until=none.until) for key, f in whole.facts.items()}
    assert verdicts("silent_success", replace(whole, facts=facts)) == {}


def test_what_one_step_fooled_and_many_did_not() -> None:
    whole = evidence(probed())
    assert verdicts("single_step", whole) == {"plain": "ok", "flips": "ok"}
    more = facts_of(range(20, 23))
    missed = replace(whole, facts={**whole.facts, (1, 0, 0): more})
    found = catalog.function("checks", "single_step")(missed)[1]
    assert (found.verdict, found.recipe) == ("doubt", "flips")
    assert "PGD-5 missed 3 of 40 pairs" in found.sentence


def test_images_that_are_lost_in_eight_bits() -> None:
    whole = evidence(probed())
    lost = replace(whole.facts[1, 0, 1], read_at_8bit=np.zeros((1, N), dtype=np.int64))
    found = verdicts("eight_bits", replace(whole, facts={**whole.facts, (1, 0, 1): lost}))
    assert found == {"plain": "ok", "flips": "doubt"}


def test_an_image_that_was_shown_to_stand_and_fell() -> None:
    whole = evidence(probed())
    stands = (np.arange(N) >= 8)[None]
    right = Certified("Linf", (0.1,), np.arange(N), stands, np.zeros((1, N), dtype=bool))
    assert verdicts("certificates", replace(whole, certificates={(1, 0): right})) == {"flips": "ok"}
    wrong = replace(right, stands=np.ones((1, N), dtype=bool))
    found = replace(whole, certificates={(1, 0): wrong})
    assert verdicts("certificates", found) == {"flips": "failed"}


def test_a_probe_that_fools_what_attacks_were_spared_tells_against_the_certificate() -> None:
    shown = Certified(
        "Linf", (0.1,), np.arange(N), np.arange(N)[None] >= 8, np.zeros((1, N), dtype=bool)
    )
    certified = {"certificates": {(1, 0): shown}}
    found = catalog.function("checks", "certificates")
    (one,) = found(evidence(probed(square=[20, 3], margin=[20, 21]), **certified))
    assert (one.verdict, one.value) == ("failed", 2)
    # At a smaller eps, or in another norm, it was not shown for what the probe did.
    for other in (replace(shown, eps=(0.05,)), replace(shown, norm="L2")):
        held = {"certificates": {(1, 0): other}}
        (one,) = found(evidence(probed(square=[20]), **held))
        assert one.verdict == "ok"


def judged(given: Results) -> Evidence:
    """Evidence of results alone."""
    whole = evidence(probed())
    recipes = tuple(Recipe(one.name, one.title, control=one.control) for one in given.recipes)
    return Evidence(replace(whole.study, recipes=recipes, margin=0.02), given, {})


def examined(given: Results) -> Evidence:
    """Evidence of results, and of probes of all networks."""
    networks = [(place, seed) for place, one in enumerate(given.recipes) for seed in one.seeds]
    return replace(judged(given), probes=dict.fromkeys(networks, probed()))


def test_controls_are_judged_by_what_they_must_do() -> None:
    fine = results()
    assert verdicts("controls", judged(fine)) == {"guarded": "ok", "sham": "ok"}
    idle = results(("helps", "helps", "cannot tell", "hurts"))
    assert verdicts("controls", judged(idle))["guarded"] == "failed"
    helped = results(("helps", "hurts", "helps", "helps"), values=(0.1, -0.1, 0.5, 0.3))
    assert verdicts("controls", judged(helped))["sham"] == "doubt"
    assert verdicts("controls", evidence(probed())) == {"": "not tried"}


def test_missing_networks_fail_their_recipe() -> None:
    holes = examined(results(missing=("plain-3", "noisy-1")))
    assert verdicts("missing", holes) == {"plain": "failed", "noisy": "failed"}
    found = catalog.function("checks", "missing")(holes)
    assert "1 network has no result: plain-3" in found[0].sentence


def test_networks_without_probes_fail_their_recipe() -> None:
    whole = examined(results())
    assert verdicts("missing", whole) == {"": "ok"}
    (place, seed), *_ = whole.probes
    probes = {one: found for one, found in whole.probes.items() if one != (place, seed)}
    (found,) = catalog.function("checks", "missing")(replace(whole, probes=probes))
    name = whole.study.recipes[place].name
    assert (found.recipe, found.verdict) == (name, "failed")
    assert found.sentence == f"1 network has a result and no probes of it: {name}-{seed}"


def test_images_outside_the_threat_fail_the_study() -> None:
    found = catalog.function("checks", "outside_threat")(judged(results(outside={"FGSM": 7})))
    assert [(one.recipe, one.verdict) for one in found] == [("", "failed")]
    assert found[0].sentence.startswith("FGSM returned 7 images outside eps")


def test_an_undefended_network_that_stands_at_a_large_eps_alone_fails() -> None:
    assert verdicts("undefended", judged(results(last=0.05))) == {"plain": "ok"}
    assert verdicts("undefended", judged(results(last=0.3))) == {"plain": "failed"}
    whole = results(last=0.9)
    robust = whole.recipes[0].curves[0].robust[:2]
    small = Curve("worst case", "Linf", 9, (0.0, 0.1), robust)
    plain = result(Recipe("plain", "Plain"), 5, 0.9, curves=(small,))
    assert verdicts("undefended", judged(replace(whole, recipes=(plain,)))) == {}


def test_robust_accuracy_must_fall() -> None:
    assert verdicts("falls_with_eps", judged(results(last=0.05)))["plain"] == "ok"
    flat = judged(results(last=0.6))
    assert verdicts("falls_with_eps", flat)["plain"] == "doubt"
    follows, stands = probed(), replace(probed(), anywhere=np.zeros(N, dtype=np.int64))
    for own, verdict in (
        (follows, "ok"),
        (stands, "doubt"),
        (replace(follows, astray="x"), "doubt"),
    ):
        assert verdicts("falls_with_eps", replace(flat, probes={(0, 0): own}))["plain"] == verdict


def test_what_is_certified_need_not_fall() -> None:
    flat = judged(results(last=0.6))
    plain = flat.results.recipes[0]
    worst = plain.curve("worst case", "Linf").robust[-1]
    for low, verdict in ((worst, "ok"), (replace(worst, value=0.5), "doubt")):
        shown = Bracket("Linf", 9, (0.3,), (low,), (worst,), (worst,))
        held = replace(flat.results, recipes=(replace(plain, bracket=shown),))
        assert verdicts("falls_with_eps", replace(flat, results=held)) == {"plain": verdict}


def test_few_seeds_wide_intervals_and_forgotten_robustness() -> None:
    assert verdicts("seeds", judged(results(seeds=3))) == {"": "doubt"}
    assert verdicts("seeds", judged(results())) == {"": "ok"}
    small = judged(results(values=(-0.05, 0.01, 0.5, -0.01)))
    assert verdicts("interval", small) == {
        "turned": "ok",
        "noisy": "doubt",
        "guarded": "ok",
        "sham": "doubt",
    }
    assert verdicts("overfitting", judged(results(overfitted=(1, 4)))) == {"guarded": "doubt"}


def test_a_network_that_learned_from_attacks_should_meet_others() -> None:
    whole = evidence(probed())
    trained = replace(whole.study.recipes[1], defence=("adversarial", {"steps": 3}))
    study = replace(whole.study, recipes=(whole.study.recipes[0], trained))
    assert verdicts("other_attacks", replace(whole, study=study)) == {"flips": "doubt"}
    square = replace(study.sweeps[1], attack="square", options={})
    other = replace(study, sweeps=(study.sweeps[0], square))
    assert verdicts("other_attacks", replace(whole, study=other)) == {"flips": "ok"}


def test_mirrored_digits_are_told_where_the_classes_are_digits() -> None:
    whole = evidence(probed())
    digits = replace(whole, classes=tuple("0123456789"))
    assert verdicts("labels_kept", digits) == {"flips": "doubt"}
    assert verdicts("labels_kept", replace(whole, classes=("cat", "dog"))) == {}
