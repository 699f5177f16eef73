import torch
import toys

from unfooled.defences.mart import mart
from unfooled.randomness import Draws

NET, IMAGES, LABELS = toys.net().eval(), toys.pictures(6), torch.arange(6) % 3


def test_it_is_its_formula_where_there_is_no_room() -> None:
    found = mart(NET, IMAGES, LABELS, draws=Draws(0), progress=0.0, eps=0.3, beta=5.0)
    shares = NET(IMAGES).softmax(1)
    own = shares.gather(1, LABELS[:, None])[:, 0]
    mistaken = shares.scatter(1, LABELS[:, None], 0.0).amax(1)
    torch.testing.assert_close(found, -own.log() - (1 - mistaken).log(), atol=1e-4, rtol=1e-4)


def test_it_weighs_the_distance_of_unsure_images() -> None:
    found = [
        mart(NET, IMAGES, LABELS, draws=Draws(0), progress=1.0, eps=0.3, beta=beta)
        for beta in (0.0, 1.0, 2.0)
    ]
    assert (found[1] > found[0]).all()
    torch.testing.assert_close(found[2] - found[1], found[1] - found[0])
