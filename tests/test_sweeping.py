import numpy as np
import pytest
import torch
import toys

from unfooled import model
from unfooled.certified import Certified
from unfooled.evaluation import Evaluation
from unfooled.study import Sweep
from unfooled.sweeping import Sweeping

EPS = (0.002, 0.02, 0.1)
SWEEP = Sweep("pgd", {"steps": 5}, "Linf", (0.0, *EPS), images=30)
IDS = toys.striped().test.sample(30)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return model.build("toys:pyramid", channels=1, size=toys.SIZE, classes=3, seed=1).eval()


@pytest.fixture(scope="module")
def plain(network: torch.nn.Module) -> Evaluation:
    data = toys.striped()
    return Sweeping(network, (), data.test, IDS, data.classes, SWEEP, 0).facts()


def shown(plain: Evaluation) -> Certified:
    """What stands in truth, as far as the attack tells, at two of the eps."""
    stands = plain.robust[:2].copy()
    stands[:, ::3] = False
    return Certified("Linf", EPS[:2], plain.ids, stands, np.zeros_like(stands))


def test_what_is_shown_to_stand_is_not_attacked_and_nothing_else_changes(
    network: torch.nn.Module, plain: Evaluation
) -> None:
    data, certificates = toys.striped(), shown(plain)
    assert certificates.stands[0].sum() > certificates.stands[1].sum() > 0
    spared = Sweeping(network, (), data.test, IDS, data.classes, SWEEP, 0, [certificates]).facts()
    assert spared.threats == plain.threats
    for name in ("ids", "labels", "clean", "robust", "correct"):
        assert np.array_equal(getattr(spared, name), getattr(plain, name)), name
    for row in range(2):
        free = certificates.stands[row]
        assert not spared.forward[row][free].any()
        assert (spared.until[row][free] == -1).all()
        left = ~certificates.stands[0] & plain.correct
        assert np.array_equal(spared.forward[row][left], plain.forward[row][left])


def test_kept_images_lie_in_their_places(network: torch.nn.Module, plain: Evaluation) -> None:
    data, certificates = toys.striped(), shown(plain)
    arrays = Sweeping(network, (), data.test, IDS, data.classes, SWEEP, 0, [certificates]).kept()
    facts, images = Evaluation.of_arrays(arrays), torch.from_numpy(arrays["adversarial"])
    originals = data.test.pixels(torch.from_numpy(facts.ids))
    assert facts.won.any()
    for row, threat in enumerate(facts.threats):
        won = torch.from_numpy(facts.won[row])
        assert not images[row][~won].any()
        if won.any():
            assert threat.allows(originals[won], images[row][won]).all()
            assert toys.read_by(network, images[row][won]).tolist() == (
                facts.read_as[row][facts.won[row]].tolist()
            )


def test_targets_go_through_as_they_are(network: torch.nn.Module) -> None:
    data = toys.striped()
    aimed = Sweep("pgd", {"steps": 3}, "Linf", (0.1,), images=12, targets="every")
    ids = data.test.sample(12)
    facts = Sweeping(network, (), data.test, ids, data.classes, aimed, 0).facts()
    assert len(facts.ids) == 24
    again = Evaluation.of_arrays(
        Sweeping(network, (), data.test, ids, data.classes, aimed, 0).kept()
    )
    assert np.array_equal(again.read_as, facts.read_as)
