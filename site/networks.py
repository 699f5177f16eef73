"""The small networks on digits that the pictures are about, and what is drawn of them."""

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from unfooled import catalog, dataset
from unfooled.dataset import Dataset
from unfooled.drawing import INK
from unfooled.recipe import Plan, Recipe
from unfooled.shapes import Images, Labels, Logits
from unfooled.training import train

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 13  # of the test images: one that is neither fooled at once nor hardly at all
TAUGHT = 0.2  # the eps that the networks with a defence are trained at
EPOCHS = 20
_PLAN = Plan(epochs=EPOCHS, batch_size=64, learning_rate=0.003)


class Watched(nn.Module):
    """A network that keeps what it is asked, image by image, and what it answers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked: list[Images] = []
        self.answered: list[Logits] = []

    def forward(self, images: Images) -> Logits:
        """The logits."""
        logits: Logits = self.network(images)
        self.asked.append(images.detach().clone())
        self.answered.append(logits.detach().clone())
        return logits

    def all(self, like: Images) -> tuple[Images, Logits]:
        """Every image that was asked about, in order, and the answers; none if none was."""
        if not self.asked:
            return like[:0], self.network(like)[:0].detach()
        return torch.cat(self.asked), torch.cat(self.answered)


@cache
def digits() -> Dataset:
    """Scikit-learn's, of 8 x 8 pixels."""
    return dataset.find("digits")


@cache
def network(defence: str, seed: int) -> nn.Module:
    """One that was trained with a defence, at eps `TAUGHT` where it has an eps."""
    known = catalog.options(catalog.function("defences", defence))
    options = {"eps": TAUGHT} if "eps" in known else {}
    recipe = Recipe(defence, "", defence=(defence, options), plan=_PLAN)
    trained = train("strided", digits(), recipe, seed, device=torch.device("cpu")).model
    return trained.requires_grad_(requires_grad=False).eval()


def digit() -> tuple[Images, Labels]:
    """The test image that all pictures show."""
    test = digits().test
    return test.pixels()[_SHOWN : _SHOWN + 1], test.labels[_SHOWN : _SHOWN + 1]


def read(network: nn.Module, image: Images) -> str:
    """What a network reads, and how sure it is."""
    sure, seen = network(image).softmax(1).max(1)
    return f"{digits().classes[int(seen)]} ({100 * float(sure):.0f} %)"


def shown(axis: "Axes", image: Images, head: str) -> None:
    """An image under its heading; high values are dark."""
    axis.imshow(image[0, 0], cmap="gray_r", vmin=0, vmax=1)
    axis.set_title(head, loc="center", color=INK)
    axis.set_xticks([])
    axis.set_yticks([])
