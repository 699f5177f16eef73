import torch
import toys

from unfooled.defences.gradient_regularisation import gradient_regularisation
from unfooled.losses import cross_entropy
from unfooled.randomness import Draws


def test_of_a_plane_it_adds_the_length_of_its_weight() -> None:
    plane, images = toys.plane(), toys.pictures(5)
    labels = torch.tensor([0, 1, 0, 1, 0])
    found = gradient_regularisation(plane, images, labels, draws=Draws(0), progress=0.5, weight=2.0)
    logits = plane(images)
    # The gradient of the cross-entropy is the weight times the probability of the other class.
    wrong = 1 - logits.softmax(1).gather(1, labels[:, None])[:, 0]
    expected = cross_entropy(logits, labels) + 2.0 * wrong**2 * plane.weight.square().sum()
    torch.testing.assert_close(found, expected)
