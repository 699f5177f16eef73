"""Operations, strengths and frequencies are torchvision's; so is every changed image."""

from typing import Any

import pytest
import torch
from blobs import ENOUGH, agree, blobs, find
from scipy import stats
from torchvision.transforms import InterpolationMode, v2

from unfooled import policies
from unfooled.drawn import beta
from unfooled.errors import InvalidTransform
from unfooled.policies import Chosen, Space, operated
from unfooled.randomness import Draws

SPACES: dict[str, tuple[Space, dict[str, Any], int]] = {
    "TrivialAugmentWide": (policies.TRIVIAL, v2.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
    "RandAugment": (policies.RAND, v2.RandAugment._AUGMENTATION_SPACE, 31),
    "AugMix": (policies.AUGMIX, v2.AugMix._AUGMENTATION_SPACE, 10),
    "AugMix of few": (policies.AUGMIX_PART, v2.AugMix._PARTIAL_AUGMENTATION_SPACE, 10),
}
CASES = [(name, operation) for name in SPACES for operation in SPACES[name][0].operations]


@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_operations_are_torchvisions(name: str) -> None:
    space, theirs, _ = SPACES[name]
    assert sorted(space.operations) == sorted(theirs)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(("name", "operation"), CASES)
def test_an_operation_at_every_level_is_torchvisions(
    name: str, operation: str, interpolation: str
) -> None:
    space, theirs, levels = SPACES[name]
    images = blobs(2 * levels)
    level = torch.arange(levels).repeat(2)
    sign = torch.ones(2 * levels)
    sign[levels:] = -1
    place = torch.full_like(level, space.operations.index(operation))
    ours = operated(images, space, Chosen(place, level, sign, levels), interpolation)
    magnitudes, signed = theirs[operation]
    strengths = magnitudes(levels, 28, 28)
    made = v2.TrivialAugmentWide()
    expected = [
        made._apply_image_or_video_transform(
            image,
            operation,
            0.0 if strengths is None else float(strengths[i]) * (float(s) if signed else 1),
            interpolation=InterpolationMode(interpolation),
            fill={type(image): None},
        )
        for image, i, s in zip(images, level.tolist(), sign, strict=True)
    ]
    agree(ours, torch.stack(expected), interpolation)


def test_a_mixed_batch_is_each_image_on_its_own() -> None:
    images, space = blobs(60, channels=3), policies.TRIVIAL
    draws = Draws(0)
    chosen = policies._drawn(images, space, torch.arange(60) % 31, 31, draws)
    together = operated(images, space, chosen, "nearest")
    for place in range(60):
        one = slice(place, place + 1)
        own = Chosen(chosen.operation[one], chosen.level[one], chosen.sign[one], 31)
        alone = operated(images[one], space, own, "nearest")
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=0)


def test_colour_means_nothing_to_grey_images() -> None:
    images, space = blobs(), policies.TRIVIAL
    place = torch.full((8,), space.operations.index("Color"))
    chosen = Chosen(place, torch.full((8,), 30), torch.ones(8), 31)
    assert torch.equal(operated(images, space, chosen, "nearest"), images)


def test_every_operation_level_and_sign_is_as_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def keep(images, space, chosen, how):
        seen.append(chosen)
        return images

    monkeypatch.setattr(policies, "operated", keep)
    many = torch.zeros(6000, 1, 2, 2)
    policies.BATCHED["TrivialAugmentWide"](v2.TrivialAugmentWide(), many, Draws(0))
    policies.BATCHED["RandAugment"](v2.RandAugment(num_ops=3, magnitude=7), many, Draws(0))
    assert len(seen) == 4
    for chosen in seen:
        assert stats.chisquare(chosen.operation.bincount(minlength=14)).pvalue > ENOUGH
        assert float(chosen.sign.mean()) == pytest.approx(0, abs=0.04)
    assert stats.chisquare(seen[0].level.bincount(minlength=31)).pvalue > ENOUGH
    assert seen[1].level.unique().tolist() == [7]
    assert not torch.equal(seen[1].operation, seen[2].operation)


def test_no_operations_change_nothing() -> None:
    assert torch.equal(find("RandAugment", num_ops=0).apply(blobs(), Draws(0)), blobs())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("RandAugment", {"magnitude": 31}, "magnitude must be from 0 to 30, not 31"),
        ("RandAugment", {"num_ops": -1}, "non-negative integer"),
        ("AugMix", {"severity": 11}, "severity"),
    ],
)
def test_a_wrong_parameter_is_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTransform, match=said):
        find(name, **options)


@pytest.mark.parametrize("name", ["TrivialAugmentWide", "RandAugment", "AugMix"])
def test_one_level_is_enough(name: str) -> None:
    few = {"RandAugment": {"num_magnitude_bins": 1, "magnitude": 0}, "AugMix": {"severity": 1}}
    found = find(name, **few.get(name, {"num_magnitude_bins": 1}))
    assert bool(found.apply(blobs(200), Draws(0)).isfinite().all())


def test_augmix_of_chains_that_change_nothing_is_the_image(monkeypatch) -> None:
    monkeypatch.setattr(policies, "operated", lambda images, space, chosen, how: images)
    made = v2.AugMix(alpha=0.5)
    ours = policies.BATCHED["AugMix"](made, blobs(), Draws(0))
    torch.testing.assert_close(ours, blobs(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("depth", "known"), [(-1, [1, 2, 3]), (2, [2])])
def test_chains_are_as_deep_and_images_weigh_as_much_as_torchvisions(
    monkeypatch: pytest.MonkeyPatch, depth: int, known: list[int]
) -> None:
    monkeypatch.setattr(policies, "operated", lambda images, space, chosen, how: images / 2)
    made = v2.AugMix(mixture_width=1, chain_depth=depth, alpha=2.0)
    white = torch.ones(3000, 1, 2, 2)
    mixed = policies.BATCHED["AugMix"](made, white, Draws(0))[:, 0, 0, 0].double()
    share = beta(2.0, "share", white, Draws(0)).double()
    deep = -((mixed - share) / (1 - share)).log2()
    clear = share < 0.9
    torch.testing.assert_close(deep[clear], deep[clear].round(), atol=1e-4, rtol=0)
    counts = deep[clear].round().long().bincount()[1:]
    assert counts.nonzero()[:, 0].add(1).tolist() == known
    assert len(known) == 1 or stats.chisquare(counts).pvalue > ENOUGH


def test_augmix_is_torchvisions_in_distribution() -> None:
    """The mean change of an image, of many draws."""
    images = blobs(1).expand(400, -1, -1, -1)
    ours = (find("AugMix").apply(images, Draws(0)) - images).abs().mean((1, 2, 3))
    made = v2.AugMix()
    with Draws(0).torch_state():
        theirs = torch.stack([(made(image) - image).abs().mean() for image in images])
    assert stats.ks_2samp(ours, theirs).pvalue > ENOUGH
