import numpy as np
import pytest
import toys

from unfooled.bracket import bracket
from unfooled.certified import Certified
from unfooled.study import Sweep

SWEEP = Sweep("pgd", {}, "Linf", (0.1, 0.2))
STUDY = toys.study(sweeps=(SWEEP,), answer_eps=0.1)


def certificates(stands: list[list[int]], falls: list[list[int]], ids: list[int]) -> Certified:
    return Certified(
        "Linf", (0.1, 0.2), np.array(ids), np.array(stands, bool), np.array(falls, bool)
    )


def test_what_neither_side_shows_is_unknown() -> None:
    # Of four images one is fooled at 0.1 and one at 0.2; the bounds show one, and meet one more.
    facts = {(0, 0, 0): toys.evaluation([[1, 0, 0, 0], [1, 1, 0, 0]])}
    eps = [threat.eps for threat in facts[0, 0, 0].threats]
    assert eps == [0.1, 0.2]
    shown = certificates([[0, 1, 1, 0], [0, 0, 1, 0]], [[0, 0, 0, 0], [0, 0, 0, 1]], [0, 1, 2, 3])
    found = bracket(STUDY, facts, 0, (0,), [shown])
    assert found is not None
    assert (found.norm, found.images, found.eps) == ("Linf", 4, (0.1, 0.2))
    assert [one.value for one in found.certified] == [0.5, 0.25]
    assert [one.value for one in found.attacked] == [0.75, 0.25]
    assert [one.value for one in found.unknown] == [0.25, 0.0]


def test_only_images_that_both_sides_met_are_counted() -> None:
    facts = {(0, 0, 0): toys.evaluation([[1, 0, 0, 0], [1, 1, 0, 0]])}
    shown = certificates([[1, 0], [1, 0]], [[0, 0], [0, 0]], [2, 9])
    found = bracket(STUDY, facts, 0, (0,), [shown])
    assert found is not None
    assert found.images == 1
    assert found.certified[1].value == found.attacked[1].value == 1


def test_what_stands_at_a_large_eps_stands_at_a_small_one() -> None:
    shown = certificates([[0], [1]], [[0], [0]], [0])
    assert shown.within(0.1).tolist() == [True]
    assert shown.within(0.2).tolist() == [True]
    assert shown.within(0.3).tolist() == [False]


def test_without_certificates_there_is_no_bracket() -> None:
    assert bracket(STUDY, {}, 0, (), []) is None


def test_certificates_survive_their_file() -> None:
    shown = certificates([[0, 1], [0, 0]], [[0, 0], [1, 0]], [3, 7])
    again = Certified.of_arrays(shown.arrays())
    assert again.eps == shown.eps
    assert again.norm == "Linf"
    np.testing.assert_array_equal(again.stands, shown.stands)
    np.testing.assert_array_equal(again.falls, shown.falls)
    with pytest.raises(KeyError):
        Certified.of_arrays({})
