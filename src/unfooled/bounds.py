"""Bounds that hold for every image inside a threat: what no attack can do.

Interval bound propagation: if each pixel lies between two numbers, so does each output of each
layer. The bounds are sound, quick, differentiable by the weights, and loose on a network that was
not trained for them.

Source: Gowal et al. 2018, https://arxiv.org/abs/1810.12715, section 3.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unfooled.errors import InvalidModel, InvalidThreat
from unfooled.gradients import frozen
from unfooled.layers import Standardise, by_channel
from unfooled.shapes import Images, Labels, Mask
from unfooled.threat import Threat

_AT_ONCE = 500  # images
_ROUNDING = 1e-6  # of the largest bound: far more than double precision loses on the way


@dataclass(frozen=True)
class Box:
    """All numbers between `middle - radius` and `middle + radius`, one by one.

    Attributes:
        middle, radius: of one shape; the radius is at least 0.
    """

    middle: Tensor
    radius: Tensor


def margins(
    model: nn.Module, images: Images, labels: Labels, threat: Threat
) -> Float[Tensor, "n k"]:
    """Upper bounds of each logit less the label's, over every image inside the threat.

    0 in the label's own column. An image whose other columns are all below 0 cannot be fooled.

    Args:
        model: an `nn.Sequential` of the layers in `_THROUGH`, ending in a linear layer. Dropout is
            passed by as in eval mode; batch normalisation must be in it.
        threat: Linf.

    Raises:
        InvalidModel: there is no bound for one of its layers.
        InvalidThreat: it is not of Linf.
    """
    if threat.norm != "Linf":
        raise InvalidThreat(f"interval bounds are for Linf; {threat.norm} came")
    low = (images - threat.eps).clamp(0, 1)
    high = (images + threat.eps).clamp(0, 1)
    box = Box((low + high) / 2, (high - low) / 2)
    *before, last = _leaves(model)
    if not isinstance(last, nn.Linear):
        raise InvalidModel(
            f"bounds need a network that ends in a linear layer; it ends in {type(last).__name__}"
        )
    for module in before:
        through = _THROUGH.get(type(module))
        if through is None:
            known = ", ".join(kind.__name__ for kind in _THROUGH)
            raise InvalidModel(
                f"there are no bounds for a layer {type(module).__name__}; there are for {known}"
            )
        box = through(module, box)
    # The last layer and the difference as one linear map: tighter than the difference of bounds.
    middle = last(box.middle)
    middle = middle - middle.gather(1, labels[:, None])
    apart = (last.weight - last.weight[labels, None]).abs()  # [n, k, d]
    found: Tensor = middle + torch.einsum("nkd,nd->nk", apart, box.radius)
    return found


def certified(model: nn.Module, images: Images, labels: Labels, threat: Threat) -> Mask:
    """Whether each image is read correctly, and so is every other one inside the threat.

    False means not shown, not that the image can be fooled. Computed in double precision, with a
    millionth of the largest bound left for rounding.

    Raises:
        InvalidModel, InvalidThreat: as `margins`.
    """
    doubled = copy.deepcopy(model).double()
    found = []
    with frozen(doubled), torch.no_grad():
        for part, own in zip(images.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
            worst = margins(doubled, part.double(), own, threat)
            others = worst.scatter(1, own[:, None], -torch.inf).amax(1)
            found.append(others < -_ROUNDING * worst.abs().amax(1))
    return torch.cat(found)


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    if type(model) is nn.Sequential:
        for child in model:
            yield from _leaves(child)
    else:
        yield model


def _standardised(module: Standardise, box: Box) -> Box:
    return Box(module(box.middle), box.radius / by_channel(module.std, box.radius))


def _convolved(module: nn.Conv2d, box: Box) -> Box:
    if module.padding_mode != "zeros":
        raise InvalidModel(f"bounds need zero padding; a layer pads by {module.padding_mode!r}")
    radius = F.conv2d(
        box.radius,
        module.weight.abs(),
        None,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
    )
    return Box(module(box.middle), radius)


def _multiplied(module: nn.Linear, box: Box) -> Box:
    return Box(module(box.middle), F.linear(box.radius, module.weight.abs()))


def _normalised(module: nn.BatchNorm2d, box: Box) -> Box:
    if module.training or module.running_var is None:
        raise InvalidModel("bounds need batch normalisation with fixed statistics (eval mode)")
    factor = (module.running_var + module.eps).rsqrt()
    factor = factor if module.weight is None else factor * module.weight
    return Box(module(box.middle), box.radius * factor.abs().view(-1, 1, 1))


def _monotone(module: nn.Module, box: Box) -> Box:
    """A layer that gives more, or as much, where it is given more."""
    low, high = module(box.middle - box.radius), module(box.middle + box.radius)
    return Box((low + high) / 2, (high - low) / 2)


def _both(module: nn.Module, box: Box) -> Box:
    """A layer that only moves numbers, or takes their mean."""
    return Box(module(box.middle), module(box.radius))


def _same(_: nn.Module, box: Box) -> Box:
    return box


_THROUGH: dict[type[nn.Module], Callable[[Any, Box], Box]] = {
    Standardise: _standardised,
    nn.Conv2d: _convolved,
    nn.Linear: _multiplied,
    nn.BatchNorm2d: _normalised,
    **dict.fromkeys((nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus), _monotone),
    nn.MaxPool2d: _monotone,
    nn.AvgPool2d: _both,
    nn.Flatten: _both,
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), _same),
}
