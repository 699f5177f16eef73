"""Answers that are known on paper."""

import math

import pytest
import torch

from unfooled import corruption
from unfooled.corruption import SEVERITIES
from unfooled.randomness import Draws
from unfooled.shapes import Images


def damaged(name: str, images: Images, severity: int) -> Images:
    return corruption.find(name).apply(images, severity, draws=Draws(0, "c"))


def noisy(n: int, channels: int = 1, size: int = 28) -> Images:
    return Draws(0, "images").uniform(torch.empty(n, channels, size, size))


def flat(value: float, n: int = 40) -> Images:
    return torch.full((n, 1, 28, 28), value)


@pytest.mark.parametrize(
    ("severity", "share"), list(zip(SEVERITIES, [0.03, 0.06, 0.09, 0.17, 0.27], strict=True))
)
def test_impulse_noise_makes_that_share_white_or_black_by_halves(
    severity: int, share: float
) -> None:
    found = damaged("impulse_noise", flat(0.4), severity)
    error = 4 * math.sqrt(share / found.numel())
    assert float((found == 0).float().mean()) == pytest.approx(share / 2, abs=error)
    assert float((found == 1).float().mean()) == pytest.approx(share / 2, abs=error)
    assert float((found == 0.4).float().mean()) == pytest.approx(1 - share, abs=error)


@pytest.mark.parametrize(
    ("severity", "photons"),
    list(zip(SEVERITIES, [60, 25, 12, 5, 3], strict=True)),
)
def test_shot_noise_is_poisson(severity: int, photons: int) -> None:
    from scipy.stats import poisson

    found = damaged("shot_noise", flat(0.3, n=100), severity).mul(photons)
    counts = found.round()
    torch.testing.assert_close(found, counts, atol=1e-4, rtol=0)
    for number in range(photons):
        expected = poisson.pmf(number, 0.3 * photons)
        share = float((counts == number).float().mean())
        error = 5 * math.sqrt(expected / counts.numel()) + 1e-6
        assert share == pytest.approx(expected, abs=error)
    white = float((counts == photons).float().mean())
    assert white == pytest.approx(poisson.sf(photons - 1, 0.3 * photons), abs=3e-3)


def test_shot_noise_leaves_black_alone() -> None:
    assert not damaged("shot_noise", flat(0.0), 5).any()


@pytest.mark.parametrize("name", ["glass_blur", "motion_blur", "canny_edges"])
def test_a_flat_image_has_nothing_to_blur_and_no_edges(name: str) -> None:
    found = damaged(name, flat(0.6), 5)
    torch.testing.assert_close(found, flat(0.0 if name == "canny_edges" else 0.6))


def test_glass_blur_loses_no_light_far_from_the_edges() -> None:
    images = torch.zeros(30, 1, 56, 56)
    images[:, :, 28, 28] = 1
    found = damaged("glass_blur", images, 1)
    torch.testing.assert_close(found.sum((1, 2, 3)), torch.ones(30), atol=1e-4, rtol=0)


def test_motion_blur_trails_to_the_left_along_one_line() -> None:
    images = torch.zeros(50, 1, 56, 56)
    images[:, :, 28, 40] = 1
    found = damaged("motion_blur", images, 1)
    assert (found[..., 41:] == 0).all()
    rows = torch.arange(56)[:, None] - 28.0
    columns = 40.0 - torch.arange(56)
    slopes = (found * rows).sum((1, 2, 3)) / (found * columns).sum((1, 2, 3))
    assert float(slopes.abs().max()) < 1.05
    assert float(slopes.max()) > 0.5
    assert float(slopes.min()) < -0.5


@pytest.mark.parametrize("name", ["rotate", "shear", "scale"])
def test_the_middle_stays(name: str) -> None:
    images = noisy(10, size=29)
    for severity in SEVERITIES:
        found = damaged(name, images, severity)
        torch.testing.assert_close(found[..., 14, 14], images[..., 14, 14], atol=1e-5, rtol=0)


def test_a_rotation_turns_by_its_angle_either_way() -> None:
    images = torch.zeros(40, 1, 57, 57)
    images[:, :, 28, 48] = 1  # 20 pixels to the right of the middle
    found = damaged("rotate", images, 5)
    total = found.sum((1, 2, 3))
    down = (found.sum((1, 3)) * torch.arange(57)).sum(1) / total - 28
    right = (found.sum((1, 2)) * torch.arange(57)).sum(1) / total - 28
    angles = torch.atan2(down, right)
    torch.testing.assert_close(angles.abs(), torch.ones(40), atol=0.02, rtol=0)
    assert 10 < int((angles > 0).sum()) < 30


def test_shear_moves_no_row_up_to_the_middle_and_the_others_by_their_height() -> None:
    images = torch.zeros(40, 1, 57, 57)
    images[:, :, :, 28] = 1  # an upright line in the middle
    found = damaged("shear", images, 1)
    middle = (found * torch.arange(57)).sum(3)[:, 0] / found.sum(3)[:, 0] - 28
    signs = middle[:, 48].sign()
    expected = signs[:, None] * math.sin(0.2) * (torch.arange(57) - 28)
    torch.testing.assert_close(middle[:, 8:49], expected[:, 8:49], atol=0.05, rtol=0)
    assert 10 < int((signs > 0).sum()) < 30


def test_scale_halves_the_side_and_leaves_black_around() -> None:
    found = damaged("scale", flat(1.0), 5)
    assert (found[:, :, 7:21, 7:21] == 1).all()
    found[:, :, 6:22, 6:22] = 0
    assert not found.any()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_translate_shifts_along_both_axes_in_one_of_four_directions(severity: int) -> None:
    images = noisy(40)
    padded = torch.nn.functional.pad(images, (severity,) * 4)
    ends = (0, 2 * severity)
    four = torch.stack([padded[..., y : y + 28, x : x + 28] for y in ends for x in ends])
    found = damaged("translate", images, severity)
    hits = ((found - four).abs() < 1e-4).flatten(2).all(2)
    assert hits.sum(0).tolist() == [1] * 40
    assert hits.any(1).all()


def test_brightness_adds_a_constant_and_clips() -> None:
    images = noisy(5)
    for severity in SEVERITIES:
        expected = (images + severity / 10).clamp(max=1)
        torch.testing.assert_close(damaged("brightness", images, severity), expected)
    assert (damaged("brightness", flat(0.0), 2) == 0.2).all()


def test_brightness_keeps_the_colour() -> None:
    images = noisy(5, channels=3)
    found = damaged("brightness", images, 2)
    expected = (images.amax(1) + 0.2).clamp(max=1)
    torch.testing.assert_close(found.amax(1), expected)
    torch.testing.assert_close(found * images.amax(1, True), images * found.amax(1, True))


def test_the_published_stripe_inverts_a_quarter_on_each_side() -> None:
    images = noisy(5)
    found = damaged("stripe", images, 3)
    assert torch.equal(found[..., 7:21], images[..., 7:21])
    assert torch.equal(found[..., :7], 1 - images[..., :7])
    assert torch.equal(found[..., 21:], 1 - images[..., 21:])


@pytest.mark.parametrize(
    ("severity", "bright"), list(zip(SEVERITIES, [1.5, 2.0, 2.5, 2.75, 3.0], strict=True))
)
def test_fog_takes_that_much_contrast_and_hangs_alike_over_every_image(
    severity: int, bright: float
) -> None:
    images = noisy(30)
    images[:, :, 0, 0] = 1  # the brightest, by which fog measures
    other = images.clone()
    other[:, :, 9, 9] = 0
    difference = damaged("fog", images, severity) - damaged("fog", other, severity)
    torch.testing.assert_close(difference, (images - other) / (1 + bright), atol=1e-6, rtol=0)


def test_fog_is_smooth_and_neither_bright_nor_dark_on_average() -> None:
    dots = flat(0.0, n=300)
    dots[:, :, 0, 0] = 1
    clouds = damaged("fog", dots, 2)[..., 1:, 1:] * 3 / 2
    assert float(clouds.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(clouds.mean((1, 2, 3)).std()) > 0.1
    assert float((clouds[..., 1:] - clouds[..., :-1]).abs().mean()) < 0.02
    # Nothing shows where the last three halvings begin.
    steps = (clouds[..., 1:] - clouds[..., :-1]).abs().mean((0, 1, 2))
    assert float(steps.max()) < 2 * float(steps.min())


def test_spatter_is_grey_mud_where_it_is_and_nothing_elsewhere() -> None:
    found = damaged("spatter", flat(1.0, n=200), 5)
    assert float(found.min()) == pytest.approx(63 / 255)
    clean = float((found == 1).float().mean())
    assert 0.5 < clean < 0.9
    # What is a little muddy is not muddy at all.
    assert float(found[found < 1].max()) <= 1 - 0.8 * (1 - 63 / 255) + 1e-6


def test_a_dotted_line_is_half_of_a_line() -> None:
    found = damaged("dotted_line", flat(0.0, n=60), 1)
    columns = found[:, 0].amax(1)
    on = torch.arange(28) % 4 >= 2
    assert (columns[:, on] > 0.7).all()
    assert (columns[:, ~on] == 0).all()
    # In every column two or three pixels of a line that is level, more of a steep one.
    thick = (found[:, 0] > 0).sum(1)[:, on]
    assert 2 <= int(thick.min()) <= int(thick.max()) <= 3


def test_a_zigzag_goes_from_column_2_to_25_without_a_gap() -> None:
    found = damaged("zigzag", flat(0.0, n=200), 1)[:, 0]
    inside = found[found[:, :3].sum((1, 2)) + found[:, -3:].sum((1, 2)) == 0]
    assert len(inside) > 50
    columns = inside.amax(1)
    assert (columns[:, 3:25] > 0.3).all()
    assert (columns[:, :1] == 0).all()
    assert (columns[:, 27:] == 0).all()
    middle = (inside * torch.arange(28)[:, None]).sum(1) / inside.sum(1).clamp(min=0.1)
    assert float((middle[:, 4] - middle[:, 8]).abs().mean()) == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("name", ["dotted_line", "zigzag"])
def test_each_severity_adds_a_line_to_the_one_before(name: str) -> None:
    images = noisy(20) / 3
    before = images
    for severity in SEVERITIES:
        after = damaged(name, images, severity)
        assert (after >= before).all()
        assert (after != before).flatten(1).any(1).sum() > 15
        before = after


def test_canny_edges_are_thin_outlines() -> None:
    images = flat(0.0, n=1)
    images[:, :, 8:20, 8:20] = 1
    found = damaged("canny_edges", images, 5)[0, 0]
    assert set(found.unique().tolist()) == {0, 1}
    for row in range(10, 18):
        assert found[row].nonzero()[:, 0].tolist() in ([7, 19], [8, 19], [7, 20], [8, 20])
        assert found[:, row].nonzero()[:, 0].tolist() in ([7, 19], [8, 19], [7, 20], [8, 20])


def test_canny_edges_go_on_over_lower_crests_and_leave_faint_ones() -> None:
    faint, fading = flat(0.0, n=1), flat(0.0, n=1)
    faint[..., 14:] = 0.05  # a step of so much has a gradient between the two thresholds
    fading[..., 14:] = torch.linspace(0.09, 0.05, 28)[:, None]  # above both at its upper end
    assert not damaged("canny_edges", faint, 5).any()
    found = damaged("canny_edges", fading, 5)[0, 0]
    assert found.sum(1).eq(1).all()
    assert found[:, 13:15].any(1).all()


def test_canny_edges_fade_in_by_fifths() -> None:
    images = noisy(4)
    edges = damaged("canny_edges", images, 5)
    for severity in SEVERITIES:
        expected = images + severity / 5 * (edges - images)
        torch.testing.assert_close(damaged("canny_edges", images, severity), expected)
