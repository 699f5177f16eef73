import pytest
import torch
from torch import nn

from unfooled.finding import Case
from unfooled.normalisation import pixels, ways
from unfooled.shapes import Images, Labels


class Bright(nn.Module):
    """Two classes by the first pixel, which is read correctly in [0, 1] but for some images.

    Those are marked by their second pixel and read the right way round only in -1..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, images: Images) -> Images:
        self.asked += len(images)
        ranged = (images < 0).flatten(1).any(1)
        pixel = torch.where(ranged, images[:, 0, 0, 0] / 2 + 0.5, images[:, 0, 0, 0]) - 0.5
        marked = torch.where(ranged, images[:, 0, 0, 1] > 0, images[:, 0, 0, 1] > 0.5)
        sign = torch.where(marked & ~ranged, -pixel, pixel)
        return torch.stack([-sign, sign], 1)


def case(marked: int, n: int = 200) -> Case:
    images = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.9
    images[:, 0, 0, 1] = (torch.arange(n) < marked).float()
    labels: Labels = (images[:, 0, 0, 0] > 0.5).long()
    model = Bright()
    return Case(model, images, labels, 2, model(images))


@pytest.mark.parametrize("marked", [12, 20, 100])
def test_a_missing_normalisation_is_found_however_much_is_read_correctly(marked: int) -> None:
    one = case(marked)
    assert one.accuracy == pytest.approx(1 - marked / 200)
    found = pixels(one)
    assert found.verdict == "doubt"
    assert "-1..1: the normalisation is missing; --mean 0.5 --std 0.5" in found.sentence


def test_so_few_misread_images_that_it_could_be_chance_are_left_alone() -> None:
    one = case(9)
    before = one.model.asked
    assert pixels(one).verdict == "ok"
    assert one.model.asked == before


class Stubborn(Bright):
    """Reads everything as class 0."""

    def forward(self, images: Images) -> Images:
        return super().forward(images) * 0 + torch.tensor([1.0, 0.0])


def test_what_mends_nothing_is_not_read_in_full() -> None:
    one, model = case(0), Stubborn()
    blind = Case(model, one.images, torch.ones(200, dtype=torch.int64), 2, model(one.images))
    model.asked = 0
    assert pixels(blind).verdict == "ok"
    assert model.asked == 3 * 24


def test_the_ways_are_those_of_the_images_channels() -> None:
    grey, colour = torch.rand(5, 1, 4, 4), torch.rand(5, 3, 4, 4)
    assert len(ways(grey)) == 3
    assert len(ways(colour)) == 4
    assert all(len(mean) == len(std) == 3 for _, mean, std in ways(colour))
