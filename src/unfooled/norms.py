"""Norms of a change, each as the operations that attacks need.

Every choice between norms in this package ends in the table `NORMS`. A change `delta` has the
shape `[n, c, h, w]`; its size is measured for each image by itself. "spatial" is no norm, but a
distance all the same: how much of the largest rotation and shift an image took (`geometry.py`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from unfooled import geometry
from unfooled.errors import InvalidThreat
from unfooled.randomness import Draws
from unfooled.shapes import Images, PerImage


@dataclass(frozen=True)
class Norm:
    """One way to measure a change.

    Attributes:
        name: as users write it.
        size: the size of each image's change.
        project: the nearest change of size at most eps.
        steepest: the change of size 1 along which a loss with this gradient grows fastest;
            zero where the gradient is zero.
        inside: a uniformly distributed change of size at most eps.
        edge: a random change of size exactly eps.
        apart: how far images lie from their originals, where that is not the size of the change.
    """

    name: str
    size: Callable[[Images], PerImage]
    project: Callable[[Images, float], Images]
    steepest: Callable[[Images], Images]
    inside: Callable[[Images, float, Draws], Images]
    edge: Callable[[Images, float, Draws], Images]
    apart: Callable[[Images, Images], PerImage] | None = None

    def distance(self, images: Images, adversarial: Images) -> PerImage:
        """How far each image was moved, in float64."""
        if self.apart is not None:
            return self.apart(images, adversarial)
        return self.size(adversarial.double() - images.double())


def _linf_size(delta: Images) -> PerImage:
    return delta.abs().flatten(1).amax(1)


def _linf_project(delta: Images, eps: float) -> Images:
    return delta.clamp(-eps, eps)


def _linf_steepest(gradient: Images) -> Images:
    return gradient.sign()


def _linf_inside(like: Images, eps: float, draws: Draws) -> Images:
    return draws.uniform(like).mul_(2 * eps).sub_(eps)


def _linf_edge(like: Images, eps: float, draws: Draws) -> Images:
    return draws.uniform(like).sub_(0.5).sign_().mul_(eps)


def _l2_size(delta: Images) -> PerImage:
    size: PerImage = delta.flatten(1).norm(dim=1)
    return size


def _spread(values: PerImage) -> Float[Tensor, "n 1 1 1"]:
    return values[:, None, None, None]


def _within(eps: float, pixels: int) -> float:
    """A radius so much below eps that rounding image + change in float32 cannot lead outside."""
    return max(0.0, eps * (1 - 2e-7) - 6e-8 * math.sqrt(pixels))


def _l2_project(delta: Images, eps: float) -> Images:
    size = _l2_size(delta)
    radius = _within(eps, delta[0].numel())
    return delta * _spread((radius / size.clamp_min(1e-30)).clamp_max(1.0))


def _l2_steepest(gradient: Images) -> Images:
    # Divided by the largest entry first: the squares of a vanishing gradient underflow in float32.
    scaled = gradient / _spread(_linf_size(gradient).clamp_min(1e-38))
    return scaled / _spread(_l2_size(scaled).clamp_min(1e-30))


def _l2_edge(like: Images, eps: float, draws: Draws) -> Images:
    return _l2_steepest(draws.normal(like)) * _within(eps, like[0].numel())


def _l2_inside(like: Images, eps: float, draws: Draws) -> Images:
    radius = draws.step("radius").uniform(like[:, :1, :1, :1]) ** (1 / like[0].numel())
    return _l2_edge(like, eps, draws) * radius


def _l1_size(delta: Images) -> PerImage:
    return delta.abs().flatten(1).sum(1)


def _l1_project(delta: Images, eps: float) -> Images:
    """Every pixel's change shortened by the same amount, by the sorted sizes of the changes.

    Source: Duchi et al. 2008, "Efficient projections onto the l1-ball", figure 1.
    """
    sizes = delta.abs().flatten(1)
    ranked = sizes.sort(dim=1, descending=True).values
    counts = torch.arange(1, ranked.shape[1] + 1, device=delta.device, dtype=delta.dtype)
    radius = _within(eps, sizes.shape[1])
    cuts = (ranked.cumsum(1) - radius) / counts
    kept = (ranked > cuts).sum(1, keepdim=True).clamp_min(1)
    cut = cuts.gather(1, kept - 1).clamp_min(0).view(-1, 1, 1, 1)
    shorter = delta.sign() * (delta.abs() - cut).clamp_min(0)
    # The sums above are rounded, the more the larger the change was.
    return shorter * _spread((radius / _l1_size(shorter).clamp_min(1e-30)).clamp_max(1))


_SPARSE = 0.02  # share of the pixels that one steepest step for L1 moves


def _l1_steepest(gradient: Images) -> Images:
    """Equal steps at the pixels of the largest gradient.

    One pixel alone would be the steepest, but it is soon at the end of its range, and so many
    steps would be needed. Source: Tramer and Boneh 2019, https://arxiv.org/abs/1904.13000, sec. 3.
    """
    sizes = gradient.abs().flatten(1)
    count = max(1, round(_SPARSE * sizes.shape[1]))
    least = sizes.topk(count, dim=1).values[:, -1:].view(-1, 1, 1, 1)
    chosen = gradient.sign() * (gradient.abs() >= least)
    return chosen / _spread(_l1_size(chosen).clamp_min(1))


def _l1_edge(like: Images, eps: float, draws: Draws) -> Images:
    exponential = draws.uniform(like).log_().neg_()
    share = exponential / _spread(_l1_size(exponential))
    return share * draws.step("signs").signs(like) * _within(eps, like[0].numel())


def _l1_inside(like: Images, eps: float, draws: Draws) -> Images:
    radius = draws.step("radius").uniform(like[:, :1, :1, :1]) ** (1 / like[0].numel())
    return _l1_edge(like, eps, draws) * radius


def _l0_size(delta: Images) -> PerImage:
    return (delta != 0).flatten(1).sum(1).to(delta.dtype)


def _l0_project(delta: Images, eps: float) -> Images:
    """The largest changes, as many as eps says."""
    sizes = delta.abs().flatten(1)
    count = int(min(eps, sizes.shape[1]))  # eps may be infinite
    if count == 0:
        return torch.zeros_like(delta)
    kept = torch.zeros_like(sizes).scatter_(1, sizes.topk(count, dim=1).indices, 1.0)
    return delta * kept.view_as(delta)


def _l0_steepest(gradient: Images) -> Images:
    largest = gradient.abs().flatten(1).argmax(1, keepdim=True)
    chosen = torch.zeros_like(gradient).flatten(1).scatter_(1, largest, 1.0)
    return gradient.sign() * chosen.view_as(gradient)


def _l0_edge(like: Images, eps: float, draws: Draws) -> Images:
    """Black or white at random places."""
    places = _l0_project(draws.uniform(like), eps).sign_()
    return places * draws.step("signs").signs(like)


def _no_change(*_: Any) -> NoReturn:
    """In the place of what only a norm of a change of pixels can do."""
    raise InvalidThreat(
        "spatial measures how far an image was turned and shifted, not a change of its pixels; "
        "what projects or draws such changes does not work under it"
    )


NORMS = {
    "Linf": Norm("Linf", _linf_size, _linf_project, _linf_steepest, _linf_inside, _linf_edge),
    "L2": Norm("L2", _l2_size, _l2_project, _l2_steepest, _l2_inside, _l2_edge),
    "L1": Norm("L1", _l1_size, _l1_project, _l1_steepest, _l1_inside, _l1_edge),
    "L0": Norm("L0", _l0_size, _l0_project, _l0_steepest, _l0_edge, _l0_edge),
    "spatial": Norm(
        "spatial",
        *(_no_change, _no_change, _no_change, _no_change, _no_change),
        apart=geometry.distance,
    ),
}
LP = tuple(name for name, norm in NORMS.items() if norm.apart is None)  # of a change of pixels
