import numpy as np
import pytest
import torch
import toys

from unfooled.certified import Certified, certified
from unfooled.corrupted import Corrupted, corrupted
from unfooled.errors import UnknownName
from unfooled.randomness import Draws
from unfooled.study import Certificates

SPLIT, IDS = toys.stripes(12, "test"), torch.tensor([1, 4, 5, 9])
NET = toys.pyramid(channels=1, size=8, classes=3).eval()
NAMES, SEVERITIES = ("brightness", "impulse_noise"), (1, 5)


def read() -> Corrupted:
    return corrupted(NET, SPLIT, IDS, NAMES, SEVERITIES, draws=Draws(0))


def test_there_is_a_reading_for_each_corruption_severity_and_image() -> None:
    found = read()
    assert found.read_as.shape == found.correct.shape == (2, 2, 4)
    assert found.ids.tolist() == IDS.tolist()
    assert found.labels.tolist() == SPLIT.labels[IDS].tolist()
    brighter = (SPLIT.pixels(IDS) + 0.5).clamp(0, 1)
    assert found.read_as[0, 1].tolist() == toys.read_by(NET, brighter).tolist()


def test_an_image_is_read_alike_whichever_others_were_asked_for() -> None:
    alone = corrupted(NET, SPLIT, IDS[2:3], NAMES[1:], SEVERITIES, draws=Draws(0))
    assert np.array_equal(alone.read_as[0, :, 0], read().read_as[1, :, 2])


def test_facts_come_back_from_a_file() -> None:
    found = read()
    again = Corrupted.of_arrays(found.arrays())
    assert (again.names, again.severities) == (NAMES, SEVERITIES)
    assert np.array_equal(again.read_as, found.read_as)
    shown = certified(NET, SPLIT, IDS, Certificates((0.01, 0.4)))
    copy = Certified.of_arrays(shown.arrays())
    assert copy.eps == (0.01, 0.4)
    assert np.array_equal(copy.stands, shown.stands)


def test_what_falls_at_a_small_eps_falls_at_a_large_one_and_never_stands() -> None:
    found = certified(NET, SPLIT, IDS, Certificates((1e-6, 0.1, 0.4), slopes=2, branches=4))
    assert (found.falls[1:] | ~found.falls[:-1]).all()
    assert not (found.falls & found.stands).any()
    wrong = toys.read_by(NET, SPLIT.pixels(IDS)) != SPLIT.labels[IDS]
    assert found.falls[0].tolist() == wrong.tolist()


def test_what_is_certified_at_a_large_eps_is_at_a_small_one() -> None:
    stands = certified(NET, SPLIT, IDS, Certificates((1e-6, 0.4))).stands
    assert stands.shape == (2, 4)
    assert (stands[0] | ~stands[1]).all()
    right = toys.read_by(NET, SPLIT.pixels(IDS)) == SPLIT.labels[IDS]
    assert stands[0].tolist() == right.tolist()


def test_an_unknown_corruption_is_an_error() -> None:
    with pytest.raises(UnknownName, match="did you mean 'fog'"):
        corrupted(NET, SPLIT, IDS, ("fogg",), SEVERITIES, draws=Draws(0))
