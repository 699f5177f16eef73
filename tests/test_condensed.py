import pytest
import torch
import toys

from unfooled.backward import chain
from unfooled.condensed import Condensed, Rows, condensed, whole
from unfooled.crown import apart, known
from unfooled.fitting import lowered, tightened
from unfooled.gradients import frozen
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.threat import Threat

THREAT = Threat("Linf", 0.05)


@pytest.fixture
def problem() -> tuple[Condensed, Rows, Images, torch.Tensor]:
    """What is left of a network for one image; images near it, and their margins."""
    net, image = toys.rectified().double(), toys.pictures(1).double()
    wrong, label = torch.tensor([0, 1]), torch.tensor([2, 2])
    with frozen(net), torch.no_grad():
        rows = apart(wrong, label, 3).double()
        found = condensed(known(chain(net, image), image, THREAT), rows)
        # Of which rounding leads none out.
        inner = Threat("Linf", THREAT.eps - 1e-6)
        near = inner.random_edge(image.repeat(500, 1, 1, 1), Draws(0))
        return *found, near, net(near) @ rows.t()


def given(rows: Rows, near: Images, outputs: list[torch.Tensor]) -> torch.Tensor:
    """What the rows make of images, and of what the open ReLUs make of them."""
    found = near.flatten(1) @ rows.pixels.t() + rows.added
    for factors, output in zip(rows.units, outputs, strict=True):
        found = found + output @ factors.t()
    return found


def test_only_the_open_relus_are_left_and_all_images_inside_get_their_margins(problem) -> None:
    left, rows, near, margins = problem
    outputs: list[torch.Tensor] = []
    for layer in left.layers:
        numbers = given(layer.rows, near, outputs)
        assert (layer.box.low < 0).all()
        assert (layer.box.high > 0).all()
        assert (layer.box.low - 1e-9 <= numbers).all()
        assert (numbers <= layer.box.high + 1e-9).all()
        outputs.append(layer.module(numbers))
    torch.testing.assert_close(given(rows, near, outputs), margins)
    assert sum(layer.box.middle.shape[1] for layer in left.layers) < 48 + 16 + 8


def test_smaller_boxes_still_hold_every_image(problem) -> None:
    left, _, near, _ = problem
    tight = tightened(left, 10)
    outputs: list[torch.Tensor] = []
    shrunk = 0.0
    for layer, before in zip(tight.layers, left.layers, strict=True):
        numbers = given(layer.rows, near, outputs)
        assert (layer.box.low - 1e-9 <= numbers).all()
        assert (numbers <= layer.box.high + 1e-9).all()
        shrunk += float((before.box.radius - layer.box.radius).sum())
        outputs.append(layer.module(numbers))
    assert shrunk > 0


def test_more_steps_give_no_higher_bounds_and_none_below_an_image(problem) -> None:
    left, rows, _, margins = problem
    found = [lowered(left, rows, whole(left, 2), steps).bounds for steps in (0, 5, 30)]
    assert (found[1] <= found[0]).all()
    assert (found[2] < found[0]).all()
    assert (margins.amax(0) <= found[2]).all()


def test_a_sign_that_is_given_holds_for_the_images_that_have_it(problem) -> None:
    left, rows, near, margins = problem
    numbers = given(left.layers[0].rows, near, [])[:, 0]
    for sign in (1, -1):
        split = whole(left, 2)
        split.signs[0][:, 0] = sign
        found = lowered(left, rows, split, 20).bounds
        assert (margins[numbers * sign >= 0].amax(0) <= found).all()
