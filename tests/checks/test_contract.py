"""What every check keeps."""

import inspect

import pytest
from test_check import evidence, probed

from unfooled import catalog
from unfooled.check import ORDER, Evidence

EVERY = list(range(8, 40))


@pytest.mark.parametrize("name", catalog.names("checks"))
def test_a_check_is_a_pure_function_of_its_evidence_that_answers_in_whole_findings(
    name: str,
) -> None:
    check = catalog.function("checks", name)
    assert list(inspect.signature(check).parameters) == ["evidence"]
    assert inspect.getdoc(check)
    for given in (evidence(probed()), evidence(probed(square=EVERY, margin=EVERY, random=EVERY))):
        recipes = {recipe.name for recipe in given.study.recipes}
        found = check(given)
        assert found == check(given)
        for one in found:
            assert one.check == name
            assert one.verdict in ORDER
            assert one.recipe in {"", *recipes}
            assert one.sentence
            assert not one.sentence.endswith(".")
            assert bool(one.advice) == (one.verdict not in ("ok", "not tried")) or not one.recipe


@pytest.mark.parametrize("name", [one for one in catalog.names("checks") if one != "missing"])
def test_without_probes_a_check_accuses_nobody(name: str) -> None:
    whole = evidence(probed())
    bare = Evidence(whole.study, whole.results, whole.facts)
    found = catalog.function("checks", name)(bare)
    assert {one.verdict for one in found} <= {"ok", "not tried", "doubt"}
