"""Every change of pixel values is torchvision's, image by image; some are known on paper."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from blobs import ENOUGH, blobs, find
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from unfooled import tones
from unfooled.randomness import Draws

Theirs = Callable[[Tensor, float], Tensor]
CHANGES: dict[str, tuple[tones.Change, Theirs, list[float]]] = {
    "brightness": (tones.brightness, tv.adjust_brightness, [0, 0.3, 1, 1.7]),
    "contrast": (tones.contrast, tv.adjust_contrast, [0, 0.3, 1, 1.7]),
    "saturation": (tones.saturation, tv.adjust_saturation, [0, 0.3, 1, 1.7]),
    "hue": (tones.hue, tv.adjust_hue, [-0.5, -0.1, 0, 0.3]),
    "sharpness": (tones.sharpness, tv.adjust_sharpness, [0, 0.3, 1, 5]),
    "posterize": (
        tones.posterized,
        lambda image, bits: tv.posterize(image, int(bits)),
        [0, 1, 3, 8],
    ),
    "solarize": (tones.solarized, tv.solarize, [0, 0.3, 0.7, 1]),
    "autocontrast": (tones.autocontrasted, lambda image, _: tv.autocontrast(image), [0, 0, 0, 0]),
    "equalize": (tones.equalized, lambda image, _: tv.equalize(image), [0, 0, 0, 0]),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_each_image_is_changed_as_torchvision_changes_it(name: str, channels: int) -> None:
    change, theirs, by = CHANGES[name]
    images = blobs(4, channels)
    expected = torch.stack([theirs(image, one) for image, one in zip(images, by, strict=True)])
    ours = change(images, torch.tensor(by, dtype=torch.float32))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_an_image_of_two_pixels_a_side_cannot_be_sharpened() -> None:
    images = blobs(2, size=2)
    assert torch.equal(tones.sharpness(images, torch.tensor([3.0, 0.0])), images)


@pytest.mark.parametrize(("size", "sigma"), [([5, 5], (1.0, 1.0)), ([3, 7], (0.4, 2.0))])
def test_a_blur_is_torchvisions_with_a_strength_for_each_image(size, sigma) -> None:
    images, draws = blobs(channels=3), Draws(0, "p")
    found = find("GaussianBlur", kernel_size=size, sigma=sigma)
    assert found.how == "batched"
    strengths = tones.between(sigma, "sigma", images, draws).tolist()
    theirs = [
        tv.gaussian_blur(image, size, [one, one])
        for image, one in zip(images, strengths, strict=True)
    ]
    torch.testing.assert_close(found.apply(images, draws), torch.stack(theirs), atol=1e-5, rtol=0)


def test_a_blur_wider_than_the_image_keeps_one_grey_and_the_mean_of_all() -> None:
    wide = torch.tensor([50.0])
    images = torch.cat([torch.full((1, 1, 5, 5), 0.4), blobs(1, size=5)])
    soft = tones.blurred(images, (41, 41), (wide, wide))
    torch.testing.assert_close(soft[0], images[0])
    assert float(soft[1].std()) < 0.1 * float(images[1].std())


def test_a_blur_of_no_width_changes_nothing() -> None:
    none = torch.tensor([0.0])
    torch.testing.assert_close(tones.blurred(blobs(), (9, 9), (none, none)), blobs())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RandomInvert", {}),
        ("RandomPosterize", {"bits": 3}),
        ("RandomSolarize", {"threshold": 0.6}),
        ("RandomAdjustSharpness", {"sharpness_factor": 4.0}),
        ("RandomAutocontrast", {}),
        ("RandomEqualize", {}),
        ("RandomGrayscale", {}),
    ],
)
def test_what_draws_nothing_but_whether_is_torchvisions(name: str, options: dict[str, Any]) -> None:
    images = blobs()
    made = getattr(v2, name)(p=1.0, **options)
    ours = find(name, p=1.0, **options)
    assert ours.how == "batched"
    torch.testing.assert_close(
        ours.apply(images, Draws(0)), torch.stack([made(image) for image in images])
    )
    assert torch.equal(find(name, p=0.0, **options).apply(images, Draws(0)), images)


def test_answers_on_paper() -> None:
    ramp = torch.linspace(0, 1, 784).view(1, 1, 28, 28)
    draws = Draws(0)
    torch.testing.assert_close(find("RandomInvert", p=1.0).apply(ramp, draws), 1 - ramp)
    solar = find("RandomSolarize", threshold=0.5, p=1.0).apply(ramp, draws)
    torch.testing.assert_close(solar, torch.minimum(ramp, 1 - ramp))
    for bits in (1, 2, 5):
        levels = find("RandomPosterize", bits=bits, p=1.0).apply(ramp, draws).unique()
        torch.testing.assert_close(levels, torch.arange(2**bits) / 2**bits)
    bright = find("ColorJitter", brightness=(2.0, 2.0)).apply(ramp, draws)
    torch.testing.assert_close(bright, (2 * ramp).clamp(max=1))
    grey = find("ColorJitter", contrast=(0.0, 0.0)).apply(ramp, draws)
    torch.testing.assert_close(grey, torch.full_like(ramp, 0.5))


@pytest.mark.parametrize(
    ("option", "value"), [("brightness", 0.4), ("contrast", 1.6), ("saturation", 1.5), ("hue", 0.2)]
)
def test_one_fixed_jitter_is_torchvisions(option: str, value: float) -> None:
    images = blobs(channels=3)
    made = v2.ColorJitter(**{option: (value, value)})
    ours = tones.BATCHED["ColorJitter"](made, images, Draws(0))
    theirs = torch.stack([made(image) for image in images])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_jitters_come_in_every_order_alike() -> None:
    """Brightness 1.8 cuts off, contrast 0.5 moves the mean: the order shows."""
    images = blobs(1).expand(2000, -1, -1, -1)
    changed = find("ColorJitter", brightness=(1.8, 1.8), contrast=(0.5, 0.5)).apply(
        images, Draws(0)
    )
    one = tv.adjust_contrast(tv.adjust_brightness(images[0], 1.8), 0.5)
    other = tv.adjust_brightness(tv.adjust_contrast(images[0], 0.5), 1.8)
    first = (changed - one).abs().amax((1, 2, 3)) < 1e-5
    second = (changed - other).abs().amax((1, 2, 3)) < 1e-5
    assert bool((first ^ second).all())
    assert float(first.float().mean()) == pytest.approx(0.5, abs=0.05)


def test_factors_are_uniform() -> None:
    half = torch.full((3000, 1, 2, 2), 0.25)
    made = v2.ColorJitter(brightness=(0.5, 2.0))
    factors = tones.BATCHED["ColorJitter"](made, half, Draws(0))[:, 0, 0, 0] * 4
    assert stats.kstest(factors.double().numpy(), "uniform", args=(0.5, 1.5)).pvalue > ENOUGH


def test_a_jitter_of_colour_leaves_grey_images() -> None:
    made = v2.ColorJitter(hue=0.3, saturation=0.9)
    assert torch.equal(tones.BATCHED["ColorJitter"](made, blobs(), Draws(0)), blobs())
    assert torch.equal(tones.BATCHED["ColorJitter"](v2.ColorJitter(), blobs(), Draws(0)), blobs())


def test_noise_has_the_mean_and_deviation_asked_for() -> None:
    grey = torch.full((200, 1, 28, 28), 0.5)
    noise = find("GaussianNoise", mean=0.05, sigma=0.1).apply(grey, Draws(0)) - 0.5
    assert stats.kstest(noise.flatten().double().numpy(), "norm", args=(0.05, 0.1)).pvalue > ENOUGH


def test_noise_is_cut_off_at_black_and_white() -> None:
    noisy = find("GaussianNoise", sigma=1.0).apply(torch.full((9, 1, 28, 28), 0.5), Draws(0))
    assert (float(noisy.min()), float(noisy.max())) == (0, 1)
    assert float((noisy == 0).float().mean()) == pytest.approx(stats.norm.cdf(-0.5), abs=0.02)
