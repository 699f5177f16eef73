"""Every corruption in `corruptions/` meets these tests by itself."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from unfooled import catalog, corruption, dataset
from unfooled.corruption import SEVERITIES, Corruption
from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images

NAMES = catalog.names("corruptions")
WITHOUT_CHANCE = {"brightness", "canny_edges", "scale", "stripe"}
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 20, 28)]


@pytest.fixture(params=NAMES)
def tried(request: pytest.FixtureRequest) -> Corruption:
    return corruption.find(str(request.param))


def rings(n: int, channels: int, height: int, width: int) -> Images:
    """Soft white rings on black, each a little elsewhere, in a frame that stays black."""
    chance = Draws(0, "rings").uniform(torch.empty(n, 3, 1, 1))
    rows = torch.linspace(-1, 1, height)[:, None] + 0.3 * chance[:, 0] - 0.15
    columns = torch.linspace(-1, 1, width) + 0.3 * chance[:, 1] - 0.15
    away = (rows.square() + (columns * (1 + chance[:, 2])).square()).sqrt() - 0.5
    return (1.2 - 6 * away.abs()).clamp(0, 1)[:, None].repeat(1, channels, 1, 1)


@pytest.fixture(params=SHAPES, ids=str)
def images(request: pytest.FixtureRequest) -> Images:
    return rings(6, *request.param)


def test_every_corruption_takes_the_same_things_in_the_same_order(tried: Corruption) -> None:
    parameters = inspect.signature(tried.function).parameters
    assert list(parameters) == ["images", "severity", "draws"]
    assert [p.kind.name for p in list(parameters.values())[1:]] == ["KEYWORD_ONLY"] * 2
    assert "Source:" in (tried.function.__doc__ or "")


def test_shape_type_and_range_stay(tried: Corruption, images: Images) -> None:
    extremes = torch.cat([images, torch.zeros_like(images[:2]), torch.ones_like(images[:2])])
    for severity in SEVERITIES:
        for given in (extremes, extremes.double()):
            found = tried.function(given, severity=severity, draws=Draws(0, "c"))
            assert found.shape == given.shape
            assert found.dtype == given.dtype
            assert bool(found.isfinite().all())
            assert 0 <= float(found.min()) <= float(found.max()) <= 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("severity", [0, 6, 2.5, True])
def test_no_other_severity_is_taken(tried: Corruption, severity: object) -> None:
    with pytest.raises(InvalidOption, match=f"{tried.name}: severity must be"):
        tried.apply(rings(2, 1, 8, 8), severity, draws=Draws(0, "c"))  # type: ignore[arg-type]


def test_nothing_that_was_handed_in_is_touched(tried: Corruption, images: Images) -> None:
    copy, state = images.clone(), torch.get_rng_state()
    found = tried.function(images, severity=3, draws=Draws(0, "c"))
    assert torch.equal(images, copy)
    found.fill_(0.5)  # nor shared
    assert torch.equal(images, copy)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("severity", [2, 5])
def test_an_images_result_does_not_depend_on_its_batch_or_order(
    tried: Corruption, images: Images, severity: int
) -> None:
    ids = torch.tensor([7, 3, 12, 5, 40, 1])
    together = tried.apply(images, severity, draws=Draws(0, "c", ids))
    backwards = tried.apply(images.flip(0), severity, draws=Draws(0, "c", ids.flip(0)))
    assert torch.equal(backwards.flip(0), together)
    for place in range(len(images)):
        one = slice(place, place + 1)
        alone = tried.apply(images[one], severity, draws=Draws(0, "c", ids[one]))
        assert torch.equal(alone, together[one])


def test_chance_belongs_to_the_id_and_the_seed(tried: Corruption) -> None:
    images = rings(1, 1, 28, 28).repeat(20, 1, 1, 1)
    found = tried.apply(images, 3, draws=Draws(0, "c"))
    again = tried.apply(images, 3, draws=Draws(0, "c"))
    other = tried.apply(images, 3, draws=Draws(1, "c"))
    assert torch.equal(found, again)
    same = tried.name in WITHOUT_CHANCE
    assert torch.equal(found, other) == same
    assert bool((found == found[:1]).all()) == same


def distances(tried: Corruption, images: Images) -> list[float]:
    """How far each severity moves an image on average."""
    found = [tried.apply(images, s, draws=Draws(0, "c")) - images for s in SEVERITIES]
    return [float(moved.flatten(1).norm(dim=1).mean()) for moved in found]


@pytest.fixture(scope="module")
def digits() -> Images:
    return dataset.find("digits").test.pixels(torch.arange(300))


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_a_higher_severity_moves_a_digit_further(
    tried: Corruption, digits: Images, channels: int, size: int
) -> None:
    # A digit of MNIST has a margin of a seventh.
    large = F.pad(F.interpolate(digits, size - 8, mode="bilinear"), (4, 4, 4, 4))
    moved = distances(tried, large.expand(-1, channels, -1, -1).contiguous())
    assert 0 < moved[0] < moved[1] < moved[2] < moved[3] < moved[4], moved


def test_the_highest_severity_moves_a_digit_of_few_pixels_further_than_the_lowest(
    tried: Corruption, digits: Images
) -> None:
    moved = distances(tried, F.interpolate(digits, 8, mode="area"))
    assert 0.1 < moved[0] < moved[4], moved


def test_all_channels_of_a_grey_pixel_stay_alike_but_for_noise(tried: Corruption) -> None:
    found = tried.apply(rings(5, 3, 32, 32), 3, draws=Draws(0, "c"))
    alike = torch.allclose(found, found[:, :1].expand_as(found), atol=1e-6)
    assert alike != tried.name.endswith("noise")
