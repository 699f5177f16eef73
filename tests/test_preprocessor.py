"""Every preprocessor, alone and in front of a network, and attacked through it."""

import inspect
from pathlib import Path

import pytest
import torch
import toys
from torch import nn

from unfooled import attack, catalog, evaluation, preprocessor
from unfooled.errors import InvalidOption, UnknownName
from unfooled.gradients import predict
from unfooled.preprocessor import SAMPLES, Preprocessor, defended
from unfooled.randomness import Draws
from unfooled.threat import Threat

IMAGES, DRAWS = toys.pictures(9), Draws(0, "input")


@pytest.fixture(params=catalog.names("preprocessors"))
def tried(request: pytest.FixtureRequest) -> Preprocessor:
    return preprocessor.find(str(request.param))


def test_every_preprocessor_takes_the_same_and_says_what_it_is(tried: Preprocessor) -> None:
    parameters = inspect.signature(tried.function).parameters
    assert list(parameters)[:2] == ["images", "draws"]
    home = catalog.module("preprocessors", tried.name)
    assert home.GRADIENT in ("own", "identity")
    assert home.RANDOM in (True, False)
    assert "Source:" in (tried.function.__doc__ or "")


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (2, 3, 32, 32), (1, 1, 28, 28)])
def test_images_stay_images(tried: Preprocessor, shape: tuple[int, ...]) -> None:
    images = Draws(1).uniform(torch.empty(shape))
    copy, state = images.clone(), torch.get_rng_state()
    found = tried.function(images, draws=DRAWS)
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(images, copy)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, tried.function(images, draws=DRAWS))


def test_only_a_random_one_depends_on_its_draws(tried: Preprocessor) -> None:
    found = [tried.function(IMAGES, draws=Draws(seed, "input")) for seed in range(6)]
    assert tried.random is not all(torch.equal(one, found[0]) for one in found)


def test_an_image_is_read_alike_in_every_batch(tried: Preprocessor) -> None:
    net = defended(toys.net(), [tried])
    torch.testing.assert_close(predict(net, IMAGES)[4:5], predict(net, IMAGES[4:5]))


def test_the_network_is_attacked_through_it(tried: Preprocessor) -> None:
    net = defended(toys.net(), [tried]).eval()
    labels = toys.read_by(net, IMAGES)
    threat = Threat("Linf", 0.5)
    found = evaluation.evaluate(
        net, IMAGES, labels, attack.find("pgd", steps=20), [threat], draws=Draws(0)
    )
    assert found.inside.all()
    assert found.fooled.mean() > 0.5


def test_a_random_one_is_the_mean_over_draws_that_stand() -> None:
    one = preprocessor.find("random_resize", smallest=0.5)
    net = toys.net().eval()
    logits = [
        net(one.function(IMAGES, draws=Draws(k, "input").step(0), smallest=0.5))
        for k in range(SAMPLES)
    ]
    torch.testing.assert_close(
        predict(defended(net, [one]), IMAGES), sum(logits).detach() / SAMPLES
    )


def test_the_first_stands_in_front() -> None:
    bits, median = preprocessor.find("bit_depth"), preprocessor.find("median_smoothing")
    net = defended(nn.Flatten(), [bits, median])
    expected = median.function(bits.function(IMAGES, draws=DRAWS), draws=DRAWS)
    assert torch.equal(net(IMAGES), expected.flatten(1))


def test_bits_are_rounded_to_even_levels() -> None:
    pixels = torch.tensor([0.0, 0.2, 0.49, 0.51, 1.0]).view(1, 1, 1, 5)
    found = preprocessor.find("bit_depth").function(pixels, draws=DRAWS, bits=1)
    assert found.flatten().tolist() == [0, 0, 0, 1, 1]
    found = preprocessor.find("bit_depth").function(pixels, draws=DRAWS, bits=2)
    torch.testing.assert_close(found.flatten(), torch.tensor([0, 1, 1, 2, 3]) / 3)


def test_a_single_bright_pixel_does_not_survive_the_median() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    found = preprocessor.find("median_smoothing").function(image, draws=DRAWS)
    assert float(found.max()) == 0
    assert torch.equal(
        preprocessor.find("median_smoothing").function(image, draws=DRAWS, side=1), image
    )


def test_a_file_of_best_quality_is_nearly_the_image() -> None:
    smooth = torch.linspace(0, 1, 8).expand(2, 1, 8, 8).contiguous()
    jpeg = preprocessor.find("jpeg").function
    assert float((jpeg(smooth, draws=DRAWS, quality=100) - smooth).abs().max()) < 0.02
    assert float((jpeg(IMAGES, draws=DRAWS, quality=5) - IMAGES).abs().mean()) > 0.1


def test_nothing_is_lost_of_the_size_when_it_must_not_shrink() -> None:
    resize = preprocessor.find("random_resize").function
    torch.testing.assert_close(resize(IMAGES, draws=DRAWS, smallest=1.0), IMAGES)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bit_depth", {"bits": 9}, "1 to 8 bits, not 9"),
        ("jpeg", {"quality": 0}, "1 to 100, not 0"),
        ("median_smoothing", {"side": 4}, "odd side below 16, not 4"),
        ("random_resize", {"smallest": 0.0}, "0 < smallest <= 1, not 0.0"),
    ],
)
def test_an_impossible_option_is_an_error(name: str, options: dict[str, float], said: str) -> None:
    one = preprocessor.find(name, **options)
    with pytest.raises(InvalidOption, match=said):
        one.function(IMAGES, draws=DRAWS, **options)


def test_unknown_names_and_options_are_errors() -> None:
    with pytest.raises(UnknownName, match="did you mean 'jpeg'"):
        preprocessor.find("jpg")
    with pytest.raises(InvalidOption, match="bit_depth has no option 'bit'"):
        preprocessor.find("bit_depth", bit=1)


def test_a_users_own_counts_as_random_and_without_gradient(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def half(images, *, draws, by: float = 0.5):\n    return images * by\n")
    found = preprocessor.find(f"{file}:half", by=0.25)
    assert found.random
    assert found.backward is not None
    net = defended(nn.Flatten(), [found])
    torch.testing.assert_close(net(IMAGES), IMAGES.flatten(1) / 4)


def test_a_users_own_draws_the_same_for_every_image_and_each_time(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "def shaken(images, *, draws):\n"
        "    noise = draws.normal(images) + torch.rand_like(images)\n"
        "    return (images + 0.1 * noise).clamp(0, 1)\n"
    )
    net = defended(nn.Flatten(), [preprocessor.find(f"{file}:shaken")])
    state = torch.get_rng_state()
    together = net(IMAGES)
    assert torch.equal(together, net(IMAGES))
    assert torch.equal(together[4:5], net(IMAGES[4:5]))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(together, IMAGES.flatten(1))


def test_a_function_that_takes_no_draws_is_no_preprocessor(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def flip(images):\n    return images\n")
    with pytest.raises(InvalidOption, match="it takes no draws"):
        preprocessor.find(f"{file}:flip")
