"""Networks and images small enough to know what an attack on them must find.

`testing.py` tries attacks on them. All images are 8 x 8 pixels, one channel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage

_SIDE = 8
_PIXELS = _SIDE * _SIDE
_CLASSES = 4  # the fewest for which the targeted difference of logits ratio is defined


@dataclass(frozen=True)
class Specimen:
    """A network with images for it.

    Attributes:
        model: as its user would hand it over.
        images, labels: to be attacked.
        targets: a wrong class for each image.
        ids: of the images, for their chance; not their places.
        needed: how far each image must be moved at least; infinite where nobody knows.
    """

    model: nn.Module
    images: Images
    labels: Labels
    targets: Labels
    ids: Labels
    needed: PerImage

    def keep(self, rows: Labels) -> "Specimen":
        """The images at these places, in this order."""
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            targets=self.targets[rows],
            ids=self.ids[rows],
            needed=self.needed[rows],
        )


class _Plane(nn.Module):
    """Two classes on the two sides of a plane through the middle of the cube of all images."""

    def __init__(self) -> None:
        super().__init__()
        weight = Draws(0, "plane").normal(torch.empty(1, _PIXELS))[0]
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(-weight.sum() / 2)

    def forward(self, images: Images) -> Logits:
        half = (images.flatten(1) @ self.weight + self.offset) / 2
        return torch.stack([-half, half], dim=1)


class _Changed(nn.Module):
    """A network whose answers a function changes, given the images and the logits."""

    def __init__(self, model: nn.Module, change: Callable[[Images, Logits], Logits]) -> None:
        super().__init__()
        self.model = model
        self.change = change

    def forward(self, images: Images) -> Logits:
        return self.change(images, self.model(images))


def smooth(n: int = 12) -> Specimen:
    """A network with dropout and batch normalisation, in train mode; the answer is not known.

    Two of the images are misread from the start, and read as their targets; some pixels are black
    or white; one weight has a gradient of the user's, another is not trained.
    """
    with Draws(0, "smooth").torch_state():
        first = nn.Linear(_PIXELS, 16)
        model = nn.Sequential(
            nn.Flatten(),
            first,
            nn.BatchNorm1d(16),
            nn.Tanh(),
            nn.Dropout(0.3),
            nn.Linear(16, _CLASSES),
        )
        with torch.no_grad():
            model(torch.rand(50, 1, _SIDE, _SIDE))  # the normalisation has seen images
    first.bias.requires_grad = False
    first.weight.grad = torch.full_like(first.weight, 7)
    images = Draws(0, "images").uniform(torch.empty(n, 1, _SIDE, _SIDE))
    images = (1.2 * images - 0.1).clamp(0, 1)
    labels = predict(model, images).argmax(1)
    targets = (labels + 1) % _CLASSES
    labels[1::5], targets[1::5] = targets[1::5].clone(), labels[1::5].clone()
    return Specimen(model, images, labels, targets, _ids(n), torch.full((n,), math.inf))


def plane(norm: str, n: int = 12) -> Specimen:
    """Two classes divided by a plane; no image needs to go near black or white (but for L0)."""
    model = _Plane()
    weight = model.weight.detach()
    images = 0.4 + 0.2 * Draws(0, "plane").uniform(torch.empty(n, _PIXELS))
    margin = images @ weight + model.offset.detach()
    images -= margin[:, None] * weight / weight.square().sum()
    side = torch.where(torch.arange(n) % 2 == 0, 1.0, -1.0)
    away, farthest = _AWAY.get(norm, _AWAY["L2"])
    far = torch.linspace(0.2, 1, n) * farthest
    images += (side * far)[:, None] * away(weight)
    labels = (side > 0).long()
    needed = _fewest(images, weight, model.offset.detach()) if norm == "L0" else far
    shaped = images.view(n, 1, _SIDE, _SIDE)
    return Specimen(model, shaped, labels, 1 - labels, _ids(n), needed)


def flat(n: int = 4) -> Specimen:
    """A network that reads every image alike, and whose gradient is zero."""
    return _steps(n, lambda images: 0 * images)


def stairs(n: int = 4) -> Specimen:
    """A network whose answers change in jumps: its gradient is zero wherever there is one."""
    return _steps(n, lambda images: (8 * images).detach().round() / 8 + 0 * images)


def steep() -> Specimen:
    """The smooth network with a gradient that is infinite times zero."""
    made = smooth()
    return changed(
        made,
        lambda images, logits: logits + (0 * images).flatten(1).sum(1, keepdim=True).abs().sqrt(),
    )


def sealed(made: Specimen) -> Specimen:
    """The same network and images; the answers cannot be followed back to the pixels."""
    return changed(made, lambda _, logits: logits.detach())


def mute(made: Specimen) -> Specimen:
    """The same network and images; it answers by the class alone, 1 where it is read, else 0."""
    return changed(
        made,
        lambda _, logits: torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0),
    )


def changed(made: Specimen, change: Callable[[Images, Logits], Logits]) -> Specimen:
    """The same network and images; a function of both changes its answers."""
    return replace(made, model=_Changed(made.model, change))


def _steps(n: int, seen: Callable[[Images], Images]) -> Specimen:
    made = plane("L2", n)
    model = nn.Sequential(_Seen(seen), made.model)
    read = predict(model, made.images).argmax(1)
    unknown = torch.full((n,), math.inf)
    return replace(made, model=model, labels=read, targets=1 - read, needed=unknown)


def _ids(n: int) -> Labels:
    return torch.arange(n) + 100


class _Seen(nn.Module):
    def __init__(self, function: Callable[[Images], Images]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Images) -> Images:
        return self.function(images)


def _largest(weight: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    at = weight.abs().argmax()
    alone = torch.zeros_like(weight)
    alone[at] = weight[at].sign()
    return alone


# For each norm the change of size 1 that leads away fastest, and the largest distance in use.
_AWAY: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "Linf": (torch.sign, 0.06),
    "L2": (lambda weight: weight / weight.norm(), 0.5),
    "L1": (_largest, 0.25),
    "L0": (lambda weight: weight / weight.norm(), 0.5),
}


def _fewest(
    images: Float[Tensor, "n d"], weight: Float[Tensor, " d"], offset: Float[Tensor, ""]
) -> PerImage:
    """How many pixels must become black or white until an image lies on the other side."""
    margin = images @ weight + offset
    towards = -margin.sign()[:, None] * weight
    gains = torch.where(towards > 0, towards * (1 - images), -towards * images)
    reached = gains.sort(dim=1, descending=True).values.cumsum(1)
    return (reached <= margin.abs()[:, None]).sum(1).float() + 1
