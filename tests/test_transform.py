"""Pixels are held against torchvision for fixed parameters, and drawn parameters against theirs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from unfooled import transform
from unfooled.errors import InvalidTransform, UnknownName
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.transform import Transform

SHAPE = {"channels": 1, "size": 28}
ENOUGH = 0.001  # a seeded sample below this p would be no sample of that distribution


def digits(n: int = 8, channels: int = 1) -> Images:
    """Smooth blobs, so that interpolation has something to interpolate."""
    noise = Draws(0, "blobs").uniform(torch.empty(n, channels, 7, 7))
    return torch.nn.functional.interpolate(noise, size=(28, 28), mode="bilinear")


def find(name: str, **options: Any) -> Transform:
    return transform.find(name, options, **SHAPE)


def names_of_batched() -> list[str]:
    return sorted(transform._BATCHED)


OPTIONS: dict[str, dict[str, Any]] = {
    "RandomRotation": {"degrees": 30},
    "RandomAffine": {"degrees": 15, "translate": [0.1, 0.2], "scale": [0.8, 1.2], "shear": 10},
    "GaussianNoise": {"sigma": 0.2},
    "RandomHorizontalFlip": {"p": 0.4},
    "RandomVerticalFlip": {"p": 0.4},
    "RandomErasing": {"p": 1.0},
    "ColorJitter": {"brightness": 0.5},
    "RandomResizedCrop": {"size": 28},
    "ElasticTransform": {"alpha": 20.0},
}


@pytest.fixture(params=sorted(OPTIONS))
def found(request: pytest.FixtureRequest) -> Transform:
    return find(request.param, **OPTIONS[request.param])


def test_every_batched_form_is_met_by_these_tests() -> None:
    assert set(names_of_batched()) <= set(OPTIONS)


def test_shape_range_and_kind_stay(found: Transform) -> None:
    images = digits()
    changed = found.apply(images, Draws(0))
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1 + 1e-5
    assert not torch.equal(changed, images)


def test_each_image_has_a_draw_of_its_own(found: Transform) -> None:
    copies = digits(1).expand(12, -1, -1, -1)
    assert len(found.apply(copies, Draws(0)).flatten(1).unique(dim=0)) > 1


def test_an_image_is_changed_alike_in_any_batch(found: Transform) -> None:
    images, ids = digits(), torch.tensor([5, 900, 3, 4, 77, 12, 8, 6])
    together = found.apply(images, Draws(0, "p", ids))
    for place in (0, 3, 7):
        one = slice(place, place + 1)
        alone = found.apply(images[one], Draws(0, "p", ids[one]))
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=0)
    turned = found.apply(images.flip(0), Draws(0, "p", ids.flip(0)))
    torch.testing.assert_close(together.flip(0), turned, atol=1e-5, rtol=0)


def test_equal_draws_give_equal_images_and_other_draws_others(found: Transform) -> None:
    images = digits()
    assert torch.equal(found.apply(images, Draws(0)), found.apply(images, Draws(0)))
    assert not torch.equal(found.apply(images, Draws(0)), found.apply(images, Draws(1)))


def test_nothing_outside_is_touched(found: Transform) -> None:
    images = digits()
    before, state = images.clone(), torch.get_rng_state()
    found.apply(images, Draws(0))
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch):
    """Sets the parameters that would be drawn, one for each image."""

    def fix(**values: Sequence[float]) -> None:
        def between(bounds, name, images, draws):
            usual = 0.0 if bounds[0] <= 0 <= bounds[1] else 1.0
            drawn = torch.tensor(values.get(name.replace(" ", "_"), [usual]), dtype=torch.float32)
            return drawn.expand(len(images))

        monkeypatch.setattr(transform, "_between", between)

    return fix


ANGLES = [-170.0, -45.0, -7.5, 0.0, 3.0, 30.0, 90.0, 179.0]


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_rotations_are_torchvisions_pixel_by_pixel(fixed, interpolation: str) -> None:
    images = digits()
    rotation = find("RandomRotation", degrees=180, interpolation=interpolation)
    assert rotation.how == "batched"
    fixed(angle=ANGLES)
    ours = rotation.apply(images, Draws(0))
    theirs = [
        tv.rotate(image, angle, interpolation=InterpolationMode(interpolation))
        for image, angle in zip(images, ANGLES, strict=True)
    ]
    agree(ours, torch.stack(theirs), interpolation)


def agree(ours: Images, theirs: Images, interpolation: str) -> None:
    """Equal, but for pixels that lie halfway between two others where the nearest is taken."""
    far = (ours - theirs).abs() > 1e-4
    assert float(far.float().mean()) <= (0.0 if interpolation == "bilinear" else 0.01)


AFFINE = {
    "turned": {"angle": ANGLES},
    "shifted": {"across": [-5, -3.4, -1, 0, 1, 2.6, 3, 5], "down": [3, 2, 1, 0, -1, -2, -3, -5]},
    "scaled": {"scale": [0.51, 0.73, 0.9, 1.0, 1.1, 1.2, 1.3, 1.47]},
    "sheared": {
        "shear_x": [-30, -20, -10, 0, 5, 10, 20, 30],
        "shear_y": [9, 6, 3, 0, -3, -6, -9, 20],
    },
    "all at once": {
        "angle": [-15, -10, -5, 0, 5, 10, 15, 40],
        "across": [2, 1, 0, -1, -2, 3, 4, 5],
        "down": [0, 1, 2, 3, -1, -2, -3, -4],
        "scale": [0.9, 1, 1.1, 0.8, 1.2, 0.95, 1.05, 1.5],
        "shear_x": [5, -5, 10, -10, 15, -15, 20, 0],
        "shear_y": [0, 3, -3, 6, -6, 9, -9, 12],
    },
}


@pytest.mark.parametrize("kind", sorted(AFFINE))
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_affine_changes_are_torchvisions_pixel_by_pixel(
    fixed, kind: str, interpolation: str
) -> None:
    images, drawn = digits(), AFFINE[kind]
    affine = find(
        "RandomAffine",
        degrees=180,
        translate=[0.2, 0.2],
        scale=[0.5, 1.5],
        shear=[-30, 30, -30, 30],
        interpolation=interpolation,
    )
    assert affine.how == "batched"
    fixed(**drawn)
    ours = affine.apply(images, Draws(0))
    theirs = [
        tv.affine(
            image,
            angle=drawn.get("angle", [0.0] * 8)[i],
            translate=[round(drawn.get(side, [0.0] * 8)[i]) for side in ("across", "down")],
            scale=drawn.get("scale", [1.0] * 8)[i],
            shear=[drawn.get(side, [0.0] * 8)[i] for side in ("shear_x", "shear_y")],
            interpolation=InterpolationMode(interpolation),
        )
        for i, image in enumerate(images)
    ]
    agree(ours, torch.stack(theirs), interpolation)


def test_colour_images_are_changed_as_grey_ones() -> None:
    grey = digits()
    affine = find("RandomAffine", **OPTIONS["RandomAffine"])
    colour = affine.apply(grey.expand(-1, 3, -1, -1), Draws(0))
    torch.testing.assert_close(colour[:, 1:2], affine.apply(grey, Draws(0)))


def drawn(name: str, options: dict[str, Any], n: int = 3000) -> dict[str, np.ndarray]:
    """The parameters that a batched transformation hands to the warp, one for each of n images."""
    made = getattr(v2, name)(**options)
    seen: dict[str, np.ndarray] = {}

    def warped(_, images, angle, shift, scale, shear):
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
        patch.setattr(transform, "_warped", warped)
        transform._BATCHED[name](made, torch.zeros(n, 1, 28, 28), Draws(0, "parameters"))
    return seen


def uniform(values: np.ndarray, low: float, high: float) -> float:
    assert low <= values.min() < values.max() <= high
    return float(stats.kstest(values, "uniform", args=(low, high - low)).pvalue)


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
        whole = np.arange(-round(most), round(most) + 1)
        edges = np.clip(np.append(whole - 0.5, whole[-1] + 0.5), -most, most)
        expected = np.diff(edges) / (2 * most)
        counts = np.array([(found[side] == shift).sum() for shift in whole])
        assert counts.sum() == len(found[side])
        assert stats.chisquare(counts, expected * counts.sum()).pvalue > ENOUGH


def test_parameters_of_one_image_are_independent() -> None:
    found = drawn("RandomAffine", {**OPTIONS["RandomAffine"], "shear": [-9, 9, -9, 9]})
    between = np.corrcoef(np.stack(list(found.values())))
    assert np.abs(between - np.eye(6)).max() < 0.07


def test_noise_has_the_mean_and_deviation_asked_for() -> None:
    grey = torch.full((200, 1, 28, 28), 0.5)
    noise = find("GaussianNoise", mean=0.05, sigma=0.1).apply(grey, Draws(0)) - 0.5
    assert stats.kstest(noise.flatten().double().numpy(), "norm", args=(0.05, 0.1)).pvalue > ENOUGH


def test_noise_is_cut_off_at_black_and_white() -> None:
    noisy = find("GaussianNoise", sigma=1.0).apply(torch.full((9, 1, 28, 28), 0.5), Draws(0))
    assert (float(noisy.min()), float(noisy.max())) == (0, 1)
    assert float((noisy == 0).float().mean()) == pytest.approx(stats.norm.cdf(-0.5), abs=0.02)


@pytest.mark.parametrize(
    ("name", "mirror"),
    [("RandomHorizontalFlip", tv.horizontal_flip), ("RandomVerticalFlip", tv.vertical_flip)],
)
def test_a_flip_is_torchvisions_and_as_frequent(name: str, mirror) -> None:
    images = digits()
    assert torch.equal(find(name, p=1.0).apply(images, Draws(0)), mirror(images))
    assert torch.equal(find(name, p=0.0).apply(images, Draws(0)), images)
    many = digits(1).expand(2000, -1, -1, -1)
    turned = (find(name, p=0.3).apply(many, Draws(0)) != many).flatten(1).any(1)
    assert float(turned.float().mean()) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RandomRotation", {"degrees": 20, "fill": 0.5}),
        ("RandomAffine", {"degrees": 20, "center": [3, 4]}),
        ("RandomPerspective", {"distortion_scale": 0.3, "p": 1.0}),
    ],
)
def test_what_has_no_batched_form_is_torchvisions_own_image_by_image(
    name: str, options: dict[str, Any]
) -> None:
    found, images = find(name, **options), digits(3)
    assert found.how == "image by image"
    ours = found.apply(images, Draws(0, "p"))
    for image, changed, identity in zip(images, ours, range(3), strict=True):
        with Draws(0, "p").torch_state(identity):
            assert torch.equal(getattr(v2, name)(**options)(image), changed)


def test_several_are_applied_in_order_with_draws_of_their_own() -> None:
    noise = find("GaussianNoise", sigma=0.1)
    images = torch.full((5, 1, 28, 28), 0.5)
    both = transform.composed([noise, noise])
    once = noise.apply(images, Draws(0).step(0))
    assert torch.equal(both(images, Draws(0)), noise.apply(once, Draws(0).step(1)))
    deviation = float((both(images, Draws(0)) - 0.5).std())
    assert deviation == pytest.approx(0.1 * math.sqrt(2), rel=0.1)  # not 0.2: two draws


def test_none_at_all_change_nothing() -> None:
    images = digits()
    assert transform.composed([])(images, Draws(0)) is images


def test_a_users_function_of_a_batch_is_called_once_for_a_batch() -> None:
    found = find("toys:own_draw_for_each")
    assert found.how == "batched"
    copies = digits(1).expand(8, -1, -1, -1)
    assert len(found.apply(copies, Draws(0)).flatten(1).unique(dim=0)) == 8


def test_a_users_options_reach_the_function() -> None:
    images = digits()
    found = find("toys:darker", strength=0.25)
    assert found.how == "batched"
    assert torch.equal(found.apply(images, Draws(0)), images * 0.25)


@pytest.mark.parametrize("name", ["same_draw_for_all", "sometimes_mirrored"])
def test_a_users_function_that_draws_once_for_a_batch_is_called_image_by_image(name: str) -> None:
    found = find(f"toys:{name}")
    assert "draws once for a whole batch" in found.how
    copies = digits(1).expand(60, -1, -1, -1)
    assert len(found.apply(copies, Draws(0)).flatten(1).unique(dim=0)) > 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toys:too_bright", r"pixels from 1 to 2; they must stay in \[0, 1\]"),
        ("toys:undefined", "NaN or infinite pixels"),
        ("toys:smaller", r"into \[4, 1, 27, 27\]; the shape must stay"),
        ("toys:failing", "raised ArithmeticError: no luck today"),
    ],
)
def test_a_users_function_that_returns_no_images_is_refused(name: str, said: str) -> None:
    with pytest.raises(InvalidTransform, match=said):
        find(name)


def test_an_unknown_transformation_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'RandomRotation'.*torchvision's"):
        find("RandomRotate")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("RandomRotation", {"degrees": -1}, "RandomRotation with .*degrees"),
        ("RandomRotation", {"degree": 10}, "unexpected keyword argument 'degree'"),
        ("RandomRotation", {}, "missing 1 required positional argument: 'degrees'"),
        ("RandomRotation", {"degrees": 10, "interpolation": "cubist"}, "'cubist' is not a valid"),
        ("RandomAffine", {"degrees": 10, "translate": [2, 0]}, "between 0 and 1"),
        ("RandomAffine", {"degrees": 10, "scale": [0, 1]}, "positive"),
        ("RandomHorizontalFlip", {"p": 7}, "should be a floating point value in the interval"),
        ("Resize", {"size": [14, 14]}, r"into \[4, 1, 14, 14\]"),
        ("Normalize", {"mean": [0.5], "std": [0.1]}, r"must stay in \[0, 1\]"),
        ("GaussianNoise", {"sigma": 1.0, "clip": False}, r"must stay in \[0, 1\]"),
        ("Grayscale", {"num_output_channels": 3}, "the shape must stay"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_training(
    name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidTransform, match=said):
        find(name, **options)


def test_a_uniform_number_stays_between_its_bounds() -> None:
    values = transform._between((2, 3), "x", torch.zeros(1000, 1, 1, 1), Draws(0))
    assert uniform(values.double().numpy(), 2, 3) > ENOUGH


def test_what_kornia_cannot_interpolate_is_left_to_torchvision() -> None:
    options = {"degrees": 5, "interpolation": "bicubic"}
    with pytest.raises(InvalidTransform):  # torchvision has no bicubic affine for tensors
        transform.find("RandomAffine", {**options, "shear": "x"}, channels=1, size=8)
    assert transform._torchvisions("RandomAffine", options).how == "image by image"
