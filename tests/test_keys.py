import copy
from typing import Any

import pytest

from unfooled import keys
from unfooled.errors import InvalidStudy

GOOD: dict[str, Any] = {
    "dataset": "digits",
    "answer_eps": 0.1,
    "recipes": {"plain": {}},
    "attacks": [{"name": "fgsm", "eps": [0, 0.1]}],
}


def lines(**changes: Any) -> list[str]:
    """What is said of the file with these keys in place of its own."""
    with pytest.raises(InvalidStudy) as error:
        keys.checked({**copy.deepcopy(GOOD), **changes})
    return str(error.value).splitlines()


def test_a_good_file_has_what_was_given_and_the_defaults() -> None:
    file = keys.checked(GOOD)
    assert (file.dataset.name, file.answer_eps, file.model) == ("digits", 0.1, "strided")
    assert file.recipes["plain"].defence.name == "standard"
    assert file.attacks[0].eps == [0, 0.1]


def test_checking_leaves_what_was_given_alone() -> None:
    given = copy.deepcopy(GOOD)
    keys.checked(given)
    assert given == GOOD


def test_an_unknown_key_is_told_with_those_that_are_known_there() -> None:
    (at_top,) = lines(seed=3)
    assert at_top.startswith("seed: there is no such key; known here: question, dataset")
    (within,) = lines(certificates={"eps": [0.1], "image": 5})
    known = "eps, images, norm, slopes, branches"
    assert within == f"certificates.image: there is no such key; known here: {known}"


def test_a_missing_key_is_told() -> None:
    assert lines(attacks=[{"name": "fgsm"}]) == ["attacks[0].eps: is missing"]


def test_a_wrong_value_is_told_with_what_came() -> None:
    assert lines(seeds=0) == ["seeds: input should be greater than or equal to 1 (it is 0)"]


def test_a_name_that_cannot_be_a_recipes_is_told() -> None:
    (said,) = lines(recipes={"No Space": {}})
    assert "at most 40" in said


def test_everything_is_told_at_once() -> None:
    said = lines(seeds=0, margin=2.0, dataset="digit")
    assert [one.partition(":")[0] for one in said] == ["dataset", "seeds", "margin"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "image_folder", "sise": 20}, "has no option 'sise'"),
        ({"name": "image_folder", "size": "big"}, "size must be"),
        ({"name": "image_folder", "folder": "x"}, "has no option 'folder'"),
        ({"name": "digit"}, "unknown name 'digit'"),
        ({"size": 20}, "dataset.name: is missing"),
        (7, "dataset: needs a name, or a table"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(given: Any, said: str) -> None:
    assert said in " ".join(lines(dataset=given))
