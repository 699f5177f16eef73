"""Norms of a change, each as the four operations that attacks need.

Every choice between norms in this package ends in the table `NORMS`. A change `delta` has the
shape `[n, c, h, w]`; its size is measured for each image by itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

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
    """

    name: str
    size: Callable[[Images], PerImage]
    project: Callable[[Images, float], Images]
    steepest: Callable[[Images], Images]
    inside: Callable[[Images, float, Draws], Images]
    edge: Callable[[Images, float, Draws], Images]


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
    return max(0.0, eps - 6e-8 * math.sqrt(pixels))


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


NORMS = {
    "Linf": Norm("Linf", _linf_size, _linf_project, _linf_steepest, _linf_inside, _linf_edge),
    "L2": Norm("L2", _l2_size, _l2_project, _l2_steepest, _l2_inside, _l2_edge),
}
