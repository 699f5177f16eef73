from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import toys

from unfooled import check
from unfooled.check import Evidence, audit, weighed
from unfooled.evaluation import Evaluation
from unfooled.probed import Probed
from unfooled.probing import PROBES
from unfooled.results import build
from unfooled.study import Sweep

N = 40
SWEEPS = (Sweep("fgsm", {}, "Linf", (0.0, 0.1)), Sweep("pgd", {"steps": 5}, "Linf", (0.1,)))
HEAD = {
    "history": [{"validation": 0.9, "transformed": 0.9, "several_steps": None}],
    "overfitted": None,
}


def probed(**fooled_by: list[int]) -> Probed:
    """Facts about images of class 0, all read correctly; each probe fooled those at these places.

    An underscore in the name of a probe stands for a space.
    """
    read_as = np.zeros((len(PROBES), N), dtype=np.int64)
    for row, name in enumerate(PROBES):
        read_as[row, fooled_by.get(name.replace(" ", "_"), [])] = 1
    return Probed(
        norm="Linf",
        eps=0.1,
        ids=np.arange(N),
        labels=np.zeros(N, dtype=np.int64),
        names=tuple(PROBES),
        read_as=read_as,
        inside=np.ones(read_as.shape, dtype=bool),
        errors=("",) * len(PROBES),
        anywhere=np.ones(N, dtype=np.int64),
        astray="",
        grey=2,
        clean=np.zeros((5, N), dtype=np.int64),
        repeated=np.zeros(N),
        watched=np.zeros(N),
        steady=np.ones(N),
        findings=(),
    )


def facts_of(fallen: Iterable[int]) -> Evaluation:
    """An attack at 0.1 that fooled the images at these places, and saw so."""
    places = set(fallen)
    read_as = [int(place in places) for place in range(N)]
    until = np.array([[1 if place in places else -1 for place in range(N)]])
    return toys.evaluation([read_as], until=until)


def evidence(own: Probed, **changes: object) -> Evidence:
    """Two recipes, one seed; FGSM fools the first four images, PGD the first eight."""
    study = toys.study(sweeps=SWEEPS, seeds=1, margin=0.05)
    facts = {
        (recipe, 0, place): facts_of(range(fallen))
        for recipe in (0, 1)
        for place, fallen in enumerate((4, 8))
    }
    heads = {(0, 0): HEAD, (1, 0): HEAD}
    results = build(study, facts, heads, 3)
    found = Evidence(study, results, facts, {(0, 0): probed(), (1, 0): own})
    return replace(found, **changes)  # type: ignore[arg-type]


def test_what_stands_against_all_attacks_is_laid_beside_the_probes() -> None:
    (one,) = evidence(probed(square=[0, 5, 20])).beside(1)
    assert np.flatnonzero(one.stands).tolist() == list(range(8, N))
    assert np.flatnonzero(one.followed).tolist() == list(range(8))
    assert np.flatnonzero(one.by("square") & one.stands).tolist() == [20]


def test_a_network_without_attacks_or_probes_is_not_laid_beside() -> None:
    whole = evidence(probed())
    some = {key: one for key, one in whole.facts.items() if key != (1, 0, 1)}
    assert replace(whole, facts=some).beside(1) == []
    assert replace(whole, probes={}).beside(0) == []


@pytest.mark.parametrize(("count", "verdict"), [(0, "ok"), (1, "doubt"), (9, "failed")])
def test_a_share_fails_where_its_whole_interval_lies_above_the_margin(
    count: int, verdict: str
) -> None:
    flags = np.arange(N) < count
    found, share = weighed([flags, flags], 0.05)
    assert found == verdict
    assert share.value == count / N
    assert (share.low > 0.05) == (verdict == "failed")


def test_findings_come_the_worst_first_and_each_check_tells_something() -> None:
    found = audit(evidence(probed(square=list(range(20, 40)))))
    order = [check.ORDER.index(one.verdict) for one in found]
    assert order == sorted(order)
    assert found[0].recipe == "flips"
    assert "square 20" in next(one.sentence for one in found if one.check == "too_high")
