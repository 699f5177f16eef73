import torch
import toys

from unfooled.defences.trades import trades
from unfooled.losses import cross_entropy, divergence
from unfooled.randomness import Draws

NET, IMAGES, LABELS = toys.net().eval(), toys.pictures(6), torch.arange(6) % 3


def test_without_weight_it_is_the_cross_entropy() -> None:
    found = trades(NET, IMAGES, LABELS, draws=Draws(0), progress=1.0, eps=0.1, beta=0.0)
    torch.testing.assert_close(found, cross_entropy(NET(IMAGES), LABELS))


def test_without_room_there_is_no_distance() -> None:
    found = trades(NET, IMAGES, LABELS, draws=Draws(0), progress=0.0, eps=0.1, beta=6.0)
    torch.testing.assert_close(found, cross_entropy(NET(IMAGES), LABELS), atol=1e-5, rtol=1e-5)


def test_the_distance_is_paid_for_and_more_steps_find_a_larger_one() -> None:
    clean = cross_entropy(NET(IMAGES), LABELS)
    few, many = (
        trades(NET, IMAGES, LABELS, draws=Draws(0), progress=1.0, eps=0.3, steps=steps) - clean
        for steps in (0, 20)
    )
    assert (many > few).all()
    assert (few > 0).all()
    double = trades(NET, IMAGES, LABELS, draws=Draws(0), progress=1.0, eps=0.3, steps=20, beta=2.0)
    torch.testing.assert_close(double - clean, 2 * many)


def test_divergence_is_0_between_equal_readings_and_what_the_formula_says() -> None:
    logits, wanted = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[0.5, 0.3, 0.2]])
    found = divergence(logits, wanted.log())
    expected = (wanted * (wanted.log() - logits.log_softmax(1))).sum(1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(divergence(logits, logits.log_softmax(1)), torch.zeros(1))
