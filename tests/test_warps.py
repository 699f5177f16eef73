"""Pixels are held against torchvision's for the same parameters, and drawn ones against theirs."""

from typing import Any

import numpy as np
import pytest
import torch
from blobs import ENOUGH, agree, blobs, find, framed, uniform
from scipy import stats
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from unfooled import warps
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.warps import projected, warped

ANGLES = [-170.0, -45.0, -7.5, 0.0, 3.0, 30.0, 90.0, 179.0]
BOTH = pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])


def moved(images: Images, values: dict[str, list[float]], how: str) -> Images:
    def of(name: str, usual: float = 0.0) -> torch.Tensor:
        return torch.tensor(values.get(name, [usual] * len(images)))

    return warped(
        images,
        of("angle"),
        torch.stack([of("across"), of("down")], 1),
        of("scale", 1.0),
        torch.stack([of("shear x"), of("shear y")], 1),
        how,
    )


@BOTH
def test_rotations_are_torchvisions_pixel_by_pixel(interpolation: str) -> None:
    images = blobs()
    ours = moved(images, {"angle": [-angle for angle in ANGLES]}, interpolation)
    theirs = [
        tv.rotate(image, angle, interpolation=InterpolationMode(interpolation))
        for image, angle in zip(images, ANGLES, strict=True)
    ]
    agree(ours, torch.stack(theirs), interpolation)


AFFINE: dict[str, dict[str, list[float]]] = {
    "turned": {"angle": ANGLES},
    "shifted": {
        "across": [-5.0, -3.0, -1.0, 0.0, 1.0, 3.0, 3.0, 5.0],
        "down": [3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -5.0],
    },
    "scaled": {"scale": [0.51, 0.73, 0.9, 1.0, 1.1, 1.2, 1.3, 1.47]},
    "sheared": {
        "shear x": [-30.0, -20.0, -10.0, 0.0, 5.0, 10.0, 20.0, 30.0],
        "shear y": [9.0, 6.0, 3.0, 0.0, -3.0, -6.0, -9.0, 20.0],
    },
    "all at once": {
        "angle": [-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 40.0],
        "across": [2.0, 1.0, 0.0, -1.0, -2.0, 3.0, 4.0, 5.0],
        "down": [0.0, 1.0, 2.0, 3.0, -1.0, -2.0, -3.0, -4.0],
        "scale": [0.9, 1.0, 1.1, 0.8, 1.2, 0.95, 1.05, 1.5],
        "shear x": [5.0, -5.0, 10.0, -10.0, 15.0, -15.0, 20.0, 0.0],
        "shear y": [0.0, 3.0, -3.0, 6.0, -6.0, 9.0, -9.0, 12.0],
    },
}


@BOTH
@pytest.mark.parametrize("kind", sorted(AFFINE))
def test_affine_changes_are_torchvisions_pixel_by_pixel(kind: str, interpolation: str) -> None:
    images, values = blobs(), AFFINE[kind]
    theirs = [
        tv.affine(
            image,
            angle=values.get("angle", [0.0] * 8)[i],
            translate=[int(values.get(side, [0.0] * 8)[i]) for side in ("across", "down")],
            scale=values.get("scale", [1.0] * 8)[i],
            shear=[values.get(side, [0.0] * 8)[i] for side in ("shear x", "shear y")],
            interpolation=InterpolationMode(interpolation),
        )
        for i, image in enumerate(images)
    ]
    agree(moved(images, values, interpolation), torch.stack(theirs), interpolation)


@BOTH
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RandomRotation", {"degrees": (15, 15)}),
        ("RandomAffine", {"degrees": (15, 15)}),
        ("RandomAffine", {"degrees": (0, 0), "scale": (0.8, 0.8), "shear": (9, 9, -4, -4)}),
        ("RandomPerspective", {"distortion_scale": 0.0, "p": 1.0}),
        ("RandomPerspective", {"p": 0.0}),
        ("ElasticTransform", {"alpha": 1e-6}),
    ],
)
def test_where_nothing_is_left_to_chance_torchvision_does_the_same(
    name: str, options: dict[str, Any], interpolation: str
) -> None:
    images = framed()
    found = find(name, interpolation=interpolation, **options)
    assert found.how == "batched"
    made = getattr(v2, name)(interpolation=InterpolationMode(interpolation), **options)
    theirs = torch.stack([made(image) for image in images])
    agree(found.apply(images, Draws(0)), theirs, interpolation)


def test_colour_images_are_changed_as_grey_ones() -> None:
    grey = blobs()
    affine = find("RandomAffine", degrees=15, translate=[0.1, 0.2], scale=[0.8, 1.2], shear=10)
    colour = affine.apply(grey.expand(-1, 3, -1, -1), Draws(0))
    torch.testing.assert_close(colour[:, 1:2], affine.apply(grey, Draws(0)))


def drawn(name: str, options: dict[str, Any], n: int = 3000) -> dict[str, np.ndarray]:
    """The parameters that a batched transformation hands to the warp, one for each of n images."""
    seen: dict[str, np.ndarray] = {}

    def warp(images, angle, shift, scale, shear, how):
        for key, value in {
            "angle": angle,
            "across": shift[:, 0],
            "down": shift[:, 1],
            "scale": scale,
            "shear x": shear[:, 0],
            "shear y": shear[:, 1],
        }.items():
            seen[key] = value.double().numpy()
        return images

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warps, "warped", warp)
        made = getattr(v2, name)(**options)
        warps.BATCHED[name](made, torch.zeros(n, 1, 28, 28), Draws(0, "parameters"))
    return seen


@pytest.mark.parametrize(("degrees", "low", "high"), [(30, -30, 30), ([10, 20], 10, 20)])
@pytest.mark.parametrize("name", ["RandomRotation", "RandomAffine"])
def test_angles_are_uniform(name: str, degrees: Any, low: float, high: float) -> None:
    angles = drawn(name, {"degrees": degrees})["angle"]
    # torchvision's rotation turns the other way round than its affine change.
    assert uniform(-angles if name == "RandomRotation" else angles, low, high) > ENOUGH


def test_affine_parameters_are_uniform_in_torchvisions_ranges() -> None:
    found = drawn("RandomAffine", {"degrees": 0, "scale": [0.8, 1.3], "shear": [-5, 10, 3, 7]})
    assert uniform(found["scale"], 0.8, 1.3) > ENOUGH
    assert uniform(found["shear x"], -5, 10) > ENOUGH
    assert uniform(found["shear y"], 3, 7) > ENOUGH
    assert not found["across"].any()
    assert not found["down"].any()


@pytest.mark.parametrize(("shear", "low", "high"), [(8, -8, 8), ([2, 8], 2, 8)])
def test_a_short_shear_is_sideways_only(shear: Any, low: float, high: float) -> None:
    found = drawn("RandomAffine", {"degrees": 0, "shear": shear})
    assert uniform(found["shear x"], low, high) > ENOUGH
    assert not found["shear y"].any()


def test_shifts_are_whole_pixels_as_often_as_torchvisions() -> None:
    found = drawn("RandomAffine", {"degrees": 0, "translate": [0.1, 0.25]})
    for side, most in (("across", 2.8), ("down", 7.0)):
        shifts = np.arange(-round(most), round(most) + 1)
        edges = np.clip(np.append(shifts - 0.5, shifts[-1] + 0.5), -most, most)
        expected = np.diff(edges) / (2 * most)
        counts = np.array([(found[side] == shift).sum() for shift in shifts])
        assert counts.sum() == len(found[side])
        assert stats.chisquare(counts, expected * counts.sum()).pvalue > ENOUGH


def test_parameters_of_one_image_are_independent() -> None:
    options = {"degrees": 15, "translate": [0.1, 0.2], "scale": [0.8, 1.2]}
    found = drawn("RandomAffine", {**options, "shear": [-9, 9, -9, 9]})
    between = np.corrcoef(np.stack(list(found.values())))
    assert np.abs(between - np.eye(6)).max() < 0.07


CORNERS = [
    [[0, 0], [27, 0], [27, 27], [0, 27]],
    [[3, 2], [25, 0], [27, 24], [1, 26]],
    [[9, 4], [20, 7], [22, 25], [0, 19]],
    [[0, 0], [27, 5], [27, 22], [0, 27]],
]


@BOTH
def test_perspectives_are_torchvisions_pixel_by_pixel(interpolation: str) -> None:
    images = blobs(len(CORNERS))
    theirs = [
        tv.perspective(image, CORNERS[0], new, interpolation=InterpolationMode(interpolation))
        for image, new in zip(images, CORNERS, strict=True)
    ]
    ours = projected(images, torch.tensor(CORNERS), interpolation)
    agree(ours, torch.stack(theirs), interpolation)


def test_corners_in_one_line_leave_an_image_as_it_is() -> None:
    images = blobs(2)
    line = [[0, 0], [9, 9], [18, 18], [27, 27]]
    ours = projected(images, torch.tensor([line, CORNERS[0]]), "bilinear")
    torch.testing.assert_close(ours, images, atol=1e-5, rtol=0)


def test_the_widest_perspective_of_the_smallest_images_is_finite() -> None:
    made = v2.RandomPerspective(1.0, p=1.0)
    for size in (2, 3, 8):
        images = blobs(3000, size=size)
        ours = warps.BATCHED["RandomPerspective"](made, images, Draws(0))
        assert bool(ours.isfinite().all())
        assert float(ours.min()) >= 0
        assert float(ours.max()) <= 1


def test_corners_come_inwards_as_far_as_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def keep(images, corners, how):
        seen.append(corners)
        return images

    monkeypatch.setattr(warps, "projected", keep)
    made = v2.RandomPerspective(0.5, p=1.0)
    warps.BATCHED["RandomPerspective"](made, torch.zeros(3000, 1, 28, 28), Draws(0))
    inwards = (seen[0] - torch.tensor(CORNERS[0])).abs().flatten(1)
    for column in inwards.T:
        assert stats.chisquare(column.bincount(minlength=8)).pvalue > ENOUGH
    assert np.abs(np.corrcoef(inwards.T) - np.eye(8)).max() < 0.07


@BOTH
@pytest.mark.parametrize(
    ("alpha", "sigma"), [([40.0, 40.0], [3.0, 3.0]), ([60.0, 10.0], [2.0, 3.4])]
)
def test_elastic_changes_are_torchvisions_for_the_same_noise(
    alpha: list[float], sigma: list[float], interpolation: str
) -> None:
    images, draws = blobs(), Draws(0, "p")
    ours = find("ElasticTransform", alpha=alpha, sigma=sigma, interpolation=interpolation)
    shifts = []
    for place, name in enumerate(("across", "down")):
        noise = 2 * draws.step(name).uniform(images) - 1
        size = int(8 * sigma[place] + 1) | 1
        shifts.append(tv.gaussian_blur(noise, [size, size], sigma) * alpha[place] / 28)
    theirs = [
        tv.elastic(image, shift[None], interpolation=InterpolationMode(interpolation))
        for image, shift in zip(images, torch.cat(shifts, 1).permute(0, 2, 3, 1), strict=True)
    ]
    agree(ours.apply(images, draws), torch.stack(theirs), interpolation)
    assert float((torch.stack(theirs) - images).abs().mean()) > 0.005


@pytest.mark.parametrize(
    ("name", "mirror"),
    [("RandomHorizontalFlip", tv.horizontal_flip), ("RandomVerticalFlip", tv.vertical_flip)],
)
def test_a_flip_is_torchvisions_and_as_frequent(name: str, mirror) -> None:
    images = blobs()
    assert torch.equal(find(name, p=1.0).apply(images, Draws(0)), mirror(images))
    assert torch.equal(find(name, p=0.0).apply(images, Draws(0)), images)
    many = blobs(1).expand(2000, -1, -1, -1)
    turned = (find(name, p=0.3).apply(many, Draws(0)) != many).flatten(1).any(1)
    assert float(turned.float().mean()) == pytest.approx(0.3, abs=0.04)
