import numpy as np
import pytest
import toys

from unfooled.recipe import Recipe
from unfooled.study import Study, Sweep
from unfooled.targeted import Targeted, targeted

EVERY = Sweep("pgd", {}, "Linf", (0.1, 0.2), targets="every")
# Two images of class 0 and one of class 1, each aimed at both other classes.
IDS = np.array([4, 4, 7, 7, 9, 9])
LABELS = np.array([0, 0, 0, 0, 1, 1])
AIMS = np.array([1, 2, 1, 2, 2, 0])


def found(reads: list[list[list[int]]], aims: list[np.ndarray] | None = None) -> list[Targeted]:
    """What comes of readings: for each seed, for each eps, for each image and aim."""
    study: Study = toys.study(sweeps=(EVERY,), recipes=(Recipe("plain", "Plain"),))
    facts = {
        (0, seed, 0): toys.evaluation(
            read, ids=IDS, labels=LABELS, clean=LABELS, targets=AIMS if aims is None else aims[seed]
        )
        for seed, read in enumerate(reads)
    }
    return targeted(study, facts, 0, range(len(reads)), 3)


SEEDS = [
    [[0, 0, 1, 0, 1, 1], [1, 0, 1, 0, 1, 0]],
    [[0, 1, 1, 0, 1, 1], [0, 2, 1, 0, 1, 1]],
]


def test_a_cell_is_the_share_of_a_class_that_reads_as_the_target_over_all_seeds() -> None:
    small, large = found(SEEDS)
    assert (small.eps, large.eps) == (0.1, 0.2)
    assert small.cells[0][1].value == 0.5
    assert small.cells[0][2].value == 0
    assert large.cells[0][1].value == 0.75
    assert large.cells[0][2].value == 0.25
    assert large.cells[1][0].value == 0.5
    assert large.cells[1][2].value == 0
    assert (large.cells[0][1].images, large.cells[0][1].seeds) == (2, 2)
    assert large.cells[0][1].low < 0.75 < large.cells[0][1].high


def test_nothing_is_said_of_pairs_that_were_not_tried() -> None:
    small, _ = found(SEEDS)
    assert [small.cells[place][place] for place in range(3)] == [None] * 3
    assert list(small.cells[2]) == [None] * 3


def test_an_image_is_turned_when_one_of_its_targets_is_reached() -> None:
    small, large = found(SEEDS)
    assert small.turned.value == pytest.approx(2 / 6)
    assert large.turned.value == pytest.approx(5 / 6)
    assert (large.turned.images, large.turned.seeds) == (3, 2)


def test_being_misread_as_something_else_is_not_being_turned() -> None:
    (only, _) = found([[[2, 1, 2, 1, 0, 2], [2, 1, 2, 1, 0, 2]]])
    assert only.turned.value == 0


def test_the_extremes_are_named() -> None:
    _, large = found(SEEDS)
    assert large.extremes() == ((0, 1), (1, 2))


def test_targets_that_differ_between_seeds_give_no_cells() -> None:
    other = np.where(AIMS == 2, 1 - LABELS, 2)
    small, _ = found(SEEDS, [AIMS, other])
    assert small.extremes() is None
    assert small.turned.seeds == 2


def test_an_attack_without_targets_is_left_out() -> None:
    study = toys.study(sweeps=(Sweep("pgd", {}, "Linf", (0.1,)),))
    assert targeted(study, {}, 0, (0,), 3) == []
