import math

import pytest
import torch
import toys

from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.starts import Quota, clipped, nearer, start, straight
from unfooled.threat import Threat
from unfooled.victim import Batch


@pytest.fixture
def batch(plane: toys.Plane, images: Images, labels: Labels) -> Batch:
    return Batch.of(plane, images, labels, None, Draws(0))


def test_a_start_is_misread_and_further_random_images_come_nearer(batch: Batch) -> None:
    threat = Threat("L2", math.inf)
    one, several = (start(Quota.of(batch, 100), threat, straight, 100, more)[0] for more in (0, 50))
    assert batch.fooled(one).all()
    assert batch.fooled(several).all()
    far, near = (threat.distance(batch.images, found) for found in (one, several))
    assert (near <= far * (1 + 1e-5)).all()
    assert float(near.median()) < 0.7 * float(far.median())


def test_a_start_asks_no_more_than_its_tries_and_its_quota(batch: Batch) -> None:
    never = batch.aimed(torch.full_like(batch.labels, 7))
    quota = Quota.of(never, 30)
    quota.left[:5] = 10
    far, found = start(quota, Threat("L2", math.inf), straight, 20, 5)
    assert not found.any()
    assert torch.equal(far, batch.images)
    assert quota.left.tolist() == [0] * 5 + [10] * (len(batch) - 5)


@pytest.mark.parametrize("blend", [straight, clipped])
def test_a_bisection_ends_on_the_misread_side_of_the_boundary(batch: Batch, blend) -> None:
    far = batch.images.flip(0)
    wrong = batch.fooled(far)
    quota = Quota.of(batch.keep(wrong), 30)
    near = nearer(quota, far[wrong], blend, 2**-10)
    assert quota.batch.fooled(near).all()
    # The boundary lies less than the tolerance nearer.
    share = torch.full((len(near),), 2**-10 * 1.01)
    images = quota.batch.images
    for one, image, there in zip(near, images, far[wrong], strict=True):
        shares = torch.linspace(0, 1, 2**12)
        line = blend(image.expand(2**12, 1, 8, 8), there.expand(2**12, 1, 8, 8), shares)
        place = (line - one).abs().flatten(1).amax(1).argmin()
        before = line[: max(1, int(place) - 5)]
        labels = quota.batch.model(before).argmax(1)
        assert (labels == labels[0]).all()
    assert len(share) == int(wrong.sum()) == int((quota.left == 20).sum())


def test_clipped_lies_at_the_share_of_the_distance() -> None:
    images, far = toys.pictures(9), toys.pictures(9, purpose="far")
    share = torch.linspace(0, 1, 9)
    threat = Threat("Linf", math.inf)
    whole, part = (threat.distance(images, other) for other in (far, clipped(images, far, share)))
    torch.testing.assert_close(part, whole * share)
    torch.testing.assert_close(clipped(images, far, torch.ones(9)), far)
