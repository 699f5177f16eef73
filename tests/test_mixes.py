"""What is mixed is what the share says."""

import pytest
import torch
from blobs import ENOUGH, blobs, find
from scipy import stats
from torchvision.transforms import v2

from unfooled import mixes
from unfooled.errors import InvalidTransform
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.transform import Mix


def mix(name: str, **options: float) -> Mix:
    found = find(name, **options).mix
    assert found is not None
    return found


def halves(n: int) -> Images:
    """White and black by turns: what comes from the partner shows."""
    return (torch.arange(n) % 2).float()[:, None, None, None].expand(n, 1, 28, 28)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_the_partner_is_the_one_before_as_in_torchvision(name: str) -> None:
    images = blobs()
    _, partner, share = mix(name)(images, Draws(0))
    assert partner.tolist() == [7, 0, 1, 2, 3, 4, 5, 6]
    assert torch.equal(images[partner], images.roll(1, 0))
    assert 0 <= float(share.min()) < float(share.max()) <= 1


def test_mixup_is_a_mean() -> None:
    images = blobs()
    mixed, partner, share = mix("MixUp", alpha=0.7)(images, Draws(0))
    for place in range(8):
        expected = share[place] * images[place] + (1 - share[place]) * images[partner[place]]
        torch.testing.assert_close(mixed[place], expected)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_the_share_is_what_is_left_of_the_image(name: str) -> None:
    images = halves(400)
    mixed, _, share = mix(name, alpha=0.8)(images, Draws(0))
    kept = (1 - (mixed - images).abs()).mean((1, 2, 3))
    torch.testing.assert_close(kept, share, atol=1e-5, rtol=0)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_share_of_mixup_is_a_beta(alpha: float) -> None:
    _, _, share = mix("MixUp", alpha=alpha)(torch.zeros(4000, 1, 2, 2), Draws(0))
    assert stats.kstest(share.double().numpy(), "beta", args=(alpha, alpha)).pvalue > ENOUGH


def test_cutmix_cuts_one_rectangle() -> None:
    images = halves(300)
    mixed, _, _ = mix("CutMix")(images, Draws(0))
    cut = (mixed != images)[:, 0]
    rows, columns = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    for line in (rows, columns):  # without a gap
        assert int((line[:, 1:] & ~line[:, :-1]).sum(1).max()) <= 1


def test_cutmix_shares_are_torchvisions_in_distribution() -> None:
    _, _, ours = mix("CutMix")(torch.zeros(3000, 1, 28, 28), Draws(0))
    made = v2.CutMix(num_classes=2)
    with Draws(0).torch_state():
        theirs = [
            made.make_params([torch.zeros(2, 1, 28, 28)])["lam_adjusted"] for _ in range(3000)
        ]
    assert stats.ks_2samp(ours, theirs).pvalue > ENOUGH


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_an_image_is_mixed_alike_wherever_it_stands_behind_its_partner(name: str) -> None:
    images, ids = blobs(), torch.tensor([5, 900, 3, 4, 77, 12, 8, 6])
    mixed, _, share = mix(name)(images, Draws(0, "p", ids))
    fewer, _, less = mix(name)(images[2:5], Draws(0, "p", ids[2:5]))
    torch.testing.assert_close(mixed[3:5], fewer[1:])
    assert torch.equal(share[2:5], less)


@pytest.mark.parametrize("name", sorted(mixes.MIXES))
def test_one_image_alone_stays(name: str) -> None:
    mixed, partner, _ = mix(name)(blobs(1), Draws(0))
    torch.testing.assert_close(mixed, blobs(1))
    assert partner.tolist() == [0]


@pytest.mark.parametrize("name", sorted(mixes.MIXES))
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 0.0}, "with"),
        ({"alpha": -1.0}, "with"),
        ({"beta": 1.0}, "unexpected keyword argument 'beta'"),
        ({"num_classes": 10}, "num_classes is known from the data; leave it out"),
    ],
)
def test_a_wrong_parameter_is_refused(name: str, options: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidTransform, match=said):
        find(name, **options)
