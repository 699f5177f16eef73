"""The contract of every transformation, how it is found, and how several go together."""

import math
from functools import cache
from typing import Any

import pytest
import torch
from blobs import blobs, find
from torchvision.transforms import v2

from unfooled import transform
from unfooled.errors import InvalidTransform, UnknownName
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.transform import Transform

DIGITS = tuple("0123456789")


def options(name: str, size: int) -> dict[str, Any]:
    """For a test in which something happens to every image."""
    return {
        "AugMix": {},
        "ColorJitter": {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.2},
        "CutMix": {},
        "ElasticTransform": {"alpha": 20.0},
        "GaussianBlur": {"kernel_size": 5, "sigma": [0.5, 2.0]},
        "GaussianNoise": {"sigma": 0.2},
        "MixUp": {"alpha": 0.4},
        "RandAugment": {},
        "RandomAdjustSharpness": {"sharpness_factor": 3.0},
        "RandomAffine": {
            "degrees": 15,
            "translate": [0.1, 0.2],
            "scale": [0.8, 1.2],
            "shear": 10,
            "interpolation": "bilinear",
        },
        "RandomAutocontrast": {},
        "RandomCrop": {"size": size, "padding": 2},
        "RandomEqualize": {},
        "RandomErasing": {"p": 1.0},
        "RandomGrayscale": {"p": 0.5},
        "RandomHorizontalFlip": {"p": 0.4},
        "RandomInvert": {},
        "RandomPerspective": {},
        "RandomPosterize": {"bits": 2},
        "RandomResizedCrop": {"size": size, "scale": [0.3, 1.0]},
        "RandomRotation": {"degrees": 30},
        "RandomSolarize": {"threshold": 0.5},
        "RandomVerticalFlip": {"p": 0.4},
        "TrivialAugmentWide": {},
    }[name]


NAMES = sorted([*transform._BATCHED, *transform.mixes.MIXES])
SHAPES = [(1, 8), (1, 28), (3, 32)]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}x{shape[1]}")
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture
def found(name: str, shape: tuple[int, int]) -> Transform:
    return once(name, *shape)


@cache
def once(name: str, channels: int, size: int) -> Transform:
    """Finding one tries it out, which takes longer than a test of it."""
    return transform.find(name, options(name, size), channels=channels, size=size)


@pytest.fixture
def images(shape: tuple[int, int]) -> Images:
    return blobs(16, *shape)


def changed(found: Transform, images: Images, draws: Draws) -> Images:
    return found.apply(images, draws) if found.mix is None else found.mix(images, draws)[0]


def test_shape_range_and_kind_stay(found: Transform, images: Images) -> None:
    after = changed(found, images, Draws(0))
    assert found.how == "batched"
    assert after.shape == images.shape
    assert after.dtype == images.dtype
    assert bool(after.isfinite().all())
    assert 0 <= float(after.min()) <= float(after.max()) <= 1
    grey = found.name == "RandomGrayscale" and images.shape[1] == 1
    assert torch.equal(after, images) == grey


def test_each_image_has_a_draw_of_its_own(found: Transform, images: Images) -> None:
    copies = images[:1].expand(40, -1, -1, -1)
    if found.mix is None and not (found.name == "RandomGrayscale" and images.shape[1] == 1):
        assert len(found.apply(copies, Draws(0)).flatten(1).unique(dim=0)) > 1


def test_an_image_is_changed_alike_in_any_batch(found: Transform, images: Images) -> None:
    ids = torch.tensor([5, 900, 3, 4, 77, 12, 8, 6, 11, 2**40, 1, 0, 60000, 31, 32, 33])
    together = found.apply(images, Draws(0, "p", ids))
    for place in range(len(ids)):
        one = slice(place, place + 1)
        alone = found.apply(images[one], Draws(0, "p", ids[one]))
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=0)
    turned = found.apply(images.flip(0), Draws(0, "p", ids.flip(0)))
    torch.testing.assert_close(together.flip(0), turned, atol=1e-5, rtol=0)


def test_equal_draws_give_equal_images_and_other_draws_others(
    found: Transform, images: Images
) -> None:
    once = changed(found, images, Draws(0))
    assert torch.equal(once, changed(found, images, Draws(0)))
    if not (found.name == "RandomGrayscale" and images.shape[1] == 1):
        assert not torch.equal(once, changed(found, images, Draws(1)))


def test_nothing_outside_is_touched(found: Transform, images: Images) -> None:
    before, state = images.clone(), torch.get_rng_state()
    changed(found, images, Draws(0))
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("RandomRotation", {"degrees": 20, "fill": 0.5}),
        ("RandomAffine", {"degrees": 20, "center": [3, 4]}),
        ("RandomPerspective", {"distortion_scale": 0.3, "p": 1.0, "fill": 0.2}),
        ("RandomCrop", {"size": 28, "padding": 2, "padding_mode": "symmetric"}),
        ("RandomCrop", {"size": 28, "padding": 2, "fill": 1}),
        ("RandomPhotometricDistort", {"p": 1.0}),
    ],
)
def test_what_has_no_batched_form_is_torchvisions_own_image_by_image(
    name: str, given: dict[str, Any]
) -> None:
    found = transform.find(name, given, channels=3, size=28)
    images = blobs(3, 3)
    assert found.how == "image by image"
    ours = found.apply(images, Draws(0, "p"))
    for image, after, identity in zip(images, ours, range(3), strict=True):
        with Draws(0, "p").torch_state(identity):
            assert torch.equal(getattr(v2, name)(**given)(image), after)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("RandomRotation", {"degrees": 20, "fill": 0, "expand": False}),
        ("RandomCrop", {"size": 28, "padding": 2, "fill": 0.0, "pad_if_needed": False}),
        ("TrivialAugmentWide", {"fill": None}),
    ],
)
def test_black_outside_is_what_the_batched_forms_do(name: str, given: dict[str, Any]) -> None:
    assert find(name, **given).how == "batched"


def test_what_cannot_be_interpolated_in_a_batch_is_left_to_torchvision() -> None:
    given = {"degrees": 5, "interpolation": "bicubic"}
    with pytest.raises(InvalidTransform):  # torchvision has no bicubic affine for tensors
        transform.find("RandomAffine", {**given, "shear": "x"}, channels=1, size=8)
    assert transform._torchvisions("RandomAffine", given).how == "image by image"
    bicubic = find(
        "RandomResizedCrop", size=28, scale=[1, 1], ratio=[1, 1], interpolation="bicubic"
    )
    assert bicubic.how == "image by image"


def test_the_list_says_how_each_is_applied() -> None:
    known = transform.names()
    assert set(NAMES) <= set(known)
    assert [name for name in known if transform.how(name) == "batched"] == NAMES
    assert transform.how("Resize") == "image by image"
    assert not {"Compose", "Lambda", "ToTensor", "Resize"} & set(known)
    assert transform.line("RandomRotation") == "Rotate the input by angle."
    for name in known:
        assert 10 < len(transform.line(name)) < 200
        assert "`" not in transform.line(name)


def test_several_are_applied_in_order_with_draws_of_their_own() -> None:
    noise = find("GaussianNoise", sigma=0.1)
    images = torch.full((5, 1, 28, 28), 0.5)
    both = transform.composed([noise, noise])
    once = noise.apply(images, Draws(0).step(0))
    assert torch.equal(both(images, Draws(0)), noise.apply(once, Draws(0).step(1)))
    deviation = float((both(images, Draws(0)) - 0.5).std())
    assert deviation == pytest.approx(0.1 * math.sqrt(2), rel=0.1)  # not 0.2: two draws


def test_none_at_all_change_nothing() -> None:
    images = blobs()
    assert transform.composed([])(images, Draws(0)) is images
    assert transform.mixing([]) is None
    assert transform.mixing([find("RandomRotation", degrees=5)]) is None


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_what_mixes_does_so_after_the_others_and_with_draws_of_its_own(name: str) -> None:
    noise, mixer = find("GaussianNoise", sigma=0.1), find(name)
    images, recipe = blobs(), [noise, mixer]
    assert torch.equal(
        transform.composed(recipe)(images, Draws(0)), noise.apply(images, Draws(0).step(0))
    )
    assert torch.equal(mixer.apply(images, Draws(0)), images)
    mix = transform.mixing(recipe)
    assert mix is not None
    assert mixer.mix is not None
    for ours, own in zip(mix(images, Draws(0)), mixer.mix(images, Draws(0).step(1)), strict=True):
        assert torch.equal(ours, own)


def test_two_that_mix_are_refused_and_so_is_one_before_others() -> None:
    mixup, cutmix, noise = find("MixUp"), find("CutMix"), find("GaussianNoise")
    with pytest.raises(InvalidTransform, match=r"MixUp and CutMix mix images and labels; .* one"):
        transform.mixing([mixup, cutmix])
    with pytest.raises(InvalidTransform, match=r"must be the last .*; GaussianNoise stands after"):
        transform.mixing([mixup, noise])


@pytest.mark.parametrize("name", ["RandomHorizontalFlip", "RandomVerticalFlip"])
def test_mirrored_digits_are_doubtful_and_mirrored_clothes_are_not(name: str) -> None:
    assert transform.doubt(name, DIGITS).startswith(f"{name} mirrors digits")
    assert transform.doubt(name, ("shirt", "bag")) == ""
    assert transform.doubt("RandomRotation", DIGITS) == ""


def test_a_users_function_of_a_batch_is_called_once_for_a_batch() -> None:
    found = find("toys:own_draw_for_each")
    assert found.how == "batched"
    copies = blobs(1).expand(8, -1, -1, -1)
    assert len(found.apply(copies, Draws(0)).flatten(1).unique(dim=0)) == 8


def test_a_users_options_reach_the_function() -> None:
    images = blobs()
    found = find("toys:darker", strength=0.25)
    assert found.how == "batched"
    assert torch.equal(found.apply(images, Draws(0)), images * 0.25)


@pytest.mark.parametrize("name", ["same_draw_for_all", "sometimes_mirrored"])
def test_a_users_function_that_draws_once_for_a_batch_is_called_image_by_image(name: str) -> None:
    found = find(f"toys:{name}")
    assert "draws once for a whole batch" in found.how
    copies = blobs(1).expand(60, -1, -1, -1)
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
    ("name", "given", "said"),
    [
        ("RandomRotation", {"degrees": -1}, "RandomRotation with .*degrees"),
        ("RandomRotation", {"degree": 10}, "unexpected keyword argument 'degree'"),
        ("RandomRotation", {}, "missing 1 required positional argument: 'degrees'"),
        ("RandomRotation", {"degrees": 10, "interpolation": "cubist"}, "'cubist' is not a valid"),
        ("RandomAffine", {"degrees": 10, "translate": [2, 0]}, "between 0 and 1"),
        ("RandomAffine", {"degrees": 10, "scale": [0, 1]}, "positive"),
        ("RandomHorizontalFlip", {"p": 7}, "should be a floating point value in the interval"),
        ("RandomPosterize", {"bits": 9}, "range"),
        ("RandomErasing", {"value": "random", "p": 1.0}, r"must stay in \[0, 1\]"),
        ("Resize", {"size": [14, 14]}, r"into \[4, 1, 14, 14\]"),
        ("Normalize", {"mean": [0.5], "std": [0.1]}, r"must stay in \[0, 1\]"),
        ("GaussianNoise", {"sigma": 1.0, "clip": False}, r"must stay in \[0, 1\]"),
        ("Grayscale", {"num_output_channels": 3}, "the shape must stay"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_training(
    name: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidTransform, match=said):
        find(name, **given)
