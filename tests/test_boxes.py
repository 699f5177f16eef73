"""Crops are torchvision's for the same rectangle; rectangles have the areas that were asked for."""

from typing import Any

import pytest
import torch
from blobs import ENOUGH, blobs, find, uniform
from scipy import stats
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from unfooled import boxes
from unfooled.drawn import whole
from unfooled.errors import InvalidTransform
from unfooled.randomness import Draws


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize(
    ("padding", "tall", "wide"), [(3, 7, 7), ([2, 4], 9, 5), ([1, 2, 3, 0], 3, 5), (None, 1, 1)]
)
def test_a_crop_is_torchvisions(mode: str, padding: Any, tall: int, wide: int) -> None:
    images, draws = blobs(), Draws(0, "p")
    found = find("RandomCrop", size=28, padding=padding, padding_mode=mode)
    assert found.how == "batched"
    top, left = whole(tall, "top", images, draws), whole(wide, "left", images, draws)
    padded = tv.pad(images, padding or 0, padding_mode=mode)
    theirs = [
        tv.crop(image, int(i), int(j), 28, 28)
        for image, i, j in zip(padded, top, left, strict=True)
    ]
    assert torch.equal(found.apply(images, draws), torch.stack(theirs))


def test_a_crop_shifts_by_every_number_of_pixels_alike() -> None:
    dot = torch.zeros(3000, 1, 28, 28)
    dot[:, :, 14, 14] = 1
    places = find("RandomCrop", size=28, padding=2).apply(dot, Draws(0)).nonzero()
    assert len(places) == 3000
    for column in (places[:, 2], places[:, 3]):
        assert (int(column.min()), int(column.max())) == (12, 16)
        assert stats.chisquare((column - 12).bincount()).pvalue > ENOUGH


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(
    ("scale", "ratio", "tall", "wide"),
    [(0.25, 1.0, 14, 14), (0.125, 2.0, 7, 14), (0.5, 0.6, 26, 15), (1.0, 1.0, 28, 28)],
)
def test_a_resized_crop_is_torchvisions(
    scale: float, ratio: float, tall: int, wide: int, antialias: bool, interpolation: str
) -> None:
    images, draws = blobs(), Draws(0, "p")
    found = find(
        "RandomResizedCrop",
        size=28,
        scale=(scale, scale),
        ratio=(ratio, ratio),
        interpolation=interpolation,
        antialias=antialias,
    )
    assert found.how == "batched"
    top = whole(29 - tall, "top", images, draws)
    left = whole(29 - wide, "left", images, draws)
    how = InterpolationMode(interpolation)
    theirs = [
        tv.resized_crop(image, int(i), int(j), tall, wide, [28, 28], how, antialias)
        for image, i, j in zip(images, top, left, strict=True)
    ]
    torch.testing.assert_close(found.apply(images, draws), torch.stack(theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ratio", [(2.0, 2.5), (0.3, 0.5)])
def test_where_no_rectangle_fits_the_middle_is_taken(ratio: tuple[float, float]) -> None:
    images = blobs()
    made = v2.RandomResizedCrop(28, scale=(1.0, 1.0), ratio=ratio)
    theirs = torch.stack([made(image) for image in images])
    ours = find("RandomResizedCrop", size=28, scale=(1.0, 1.0), ratio=ratio)
    torch.testing.assert_close(ours.apply(images, Draws(0)), theirs, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["RandomCrop", "RandomResizedCrop"])
def test_a_crop_that_changes_the_size_is_refused(name: str) -> None:
    with pytest.raises(InvalidTransform, match=r"size is 14 x 14, but must be .* 28 x 28"):
        find(name, size=14)


@pytest.mark.parametrize(
    ("scale", "ratio", "tall", "wide"), [(0.25, 1.0, 14, 14), (0.25, 2.0, 20, 10)]
)
def test_what_is_erased_has_the_area_and_the_ratio(
    scale: float, ratio: float, tall: int, wide: int
) -> None:
    white = torch.ones(500, 1, 28, 28)
    found = find("RandomErasing", p=1.0, scale=(scale, scale), ratio=(ratio, ratio), value=0.25)
    gone = found.apply(white, Draws(0)) == 0.25
    assert gone.any(2).sum(2).unique().tolist() == [wide]
    assert gone.any(3).sum(2).unique().tolist() == [tall]
    assert gone.sum((1, 2, 3)).unique().tolist() == [tall * wide]
    top = gone.any(3).int().argmax(2)[:, 0]
    assert stats.chisquare(top.bincount(minlength=29 - tall)).pvalue > ENOUGH


def test_areas_are_uniform_and_ratios_log_uniform() -> None:
    made = v2.RandomErasing(scale=(0.1, 0.3), ratio=(0.5, 2.0))
    # So large that rounding to whole pixels is small.
    large = torch.zeros(1, 1, 1, 1).expand(300, 1, 2000, 2000)
    tall, wide = boxes._sides(made, large, Draws(0))
    area, ratio = (tall * wide / 2000**2).flatten(), (tall / wide).log2().flatten()
    assert uniform(area.clamp(0.1, 0.3).double().numpy(), 0.1, 0.3) > ENOUGH
    assert uniform(ratio.clamp(-1, 1).double().numpy(), -1, 1) > ENOUGH


def test_the_usual_erasing_is_torchvisions_in_distribution() -> None:
    white = torch.ones(3000, 1, 28, 28)
    ours = (find("RandomErasing").apply(white, Draws(0)) == 0).float().mean((1, 2, 3))
    made = v2.RandomErasing()
    with Draws(0).torch_state():
        theirs = torch.stack([1 - made(image).mean() for image in white[:1500]])
    assert stats.ks_2samp(ours, theirs).pvalue > ENOUGH


def test_where_no_rectangle_fits_nothing_is_erased() -> None:
    images = blobs()
    found = find("RandomErasing", p=1.0, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert torch.equal(found.apply(images, Draws(0)), images)


def test_each_channel_can_have_a_value_of_its_own() -> None:
    made = v2.RandomErasing(p=1.0, value=[0.1, 0.2, 0.3])
    changed = boxes.BATCHED["RandomErasing"](made, torch.ones(4, 3, 28, 28), Draws(0))
    assert [float(one.min()) for one in changed[0]] == pytest.approx([0.1, 0.2, 0.3])
