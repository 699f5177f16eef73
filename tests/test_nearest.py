import torch
import toys
from torch import nn

from unfooled.nearest import Nearest
from unfooled.randomness import Draws
from unfooled.shapes import Images
from unfooled.victim import Batch


def test_the_nearest_misread_attempts_are_kept(net: nn.Module, images: Images) -> None:
    images = images[:4]
    batch = Batch.of(net, images, toys.read_by(net, images), None, Draws(0))
    nearest = Nearest.none(images)
    misread = torch.tensor([True, True, True, False])
    nearest.note(batch, images + 0.02, torch.full((4,), 2.0), misread)
    nearest.note(batch, images + 0.03, torch.tensor([3.0, 1.0, 3.0, 0.5]), misread)
    part = batch.keep(torch.tensor([2, 3]))
    nearest.note(part, part.images + 0.01, torch.tensor([1.0, 1.0]), torch.tensor([True, False]))
    moved = torch.tensor([0.02, 0.03, 0.01, 0.0])
    torch.testing.assert_close(nearest.images, images + moved[:, None, None, None])
    assert nearest.distances.tolist() == [2.0, 1.0, 1.0, torch.inf]
