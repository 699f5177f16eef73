"""Interval bounds: if each pixel lies between two numbers, so does each output of each layer.

Sound, quick, differentiable by the weights, and loose on a network that was not trained for them.

Source: Gowal et al. 2018, https://arxiv.org/abs/1810.12715, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unfooled.errors import InvalidModel, InvalidThreat
from unfooled.layers import Standardise, by_channel
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.traced import Beside, Sum, Within, joined, steps
from unfooled.traced import apart as parted

_STEADY = 20  # a smaller threshold makes Softplus fall by more than rounding does


@dataclass(frozen=True)
class Box:
    """All numbers between `middle - radius` and `middle + radius`, one by one.

    Attributes:
        middle, radius: of one shape; the radius is at least 0.
    """

    middle: Tensor
    radius: Tensor

    @classmethod
    def between(cls, low: Tensor, high: Tensor) -> "Box":
        """All numbers between two others."""
        return cls((low + high) / 2, (high - low) / 2)

    @property
    def low(self) -> Tensor:
        """The least of each."""
        return self.middle - self.radius

    @property
    def high(self) -> Tensor:
        """The largest of each."""
        return self.middle + self.radius

    def at(self, of: Int64[Tensor, " m"]) -> "Box":
        """The boxes at these places, which may come several times."""
        return Box(self.middle[of], self.radius[of])


def margins(
    model: nn.Module, images: Images, labels: Labels, threat: Threat
) -> Float[Tensor, "n k"]:
    """Upper bounds of each logit less the label's, over every image inside the threat.

    0 in the label's own column. An image whose other columns are all below 0 cannot be fooled.

    Args:
        model: made of the layers in `_THROUGH`, ending in a linear layer; branches that are added
            up are followed, see `traced`. Dropout is
            passed by as in eval mode; batch normalisation must be in it.
        threat: Linf.

    Raises:
        InvalidModel: there is no bound for one of its layers.
        InvalidThreat: it is not of Linf.
    """
    if threat.norm != "Linf":
        raise InvalidThreat(f"interval bounds are for Linf; {threat.norm} came")
    box = around(images, threat.eps)
    *before, last = steps(model, images)
    for module in before:
        box = through(module, box)
    return apart(last, box, labels)


def around(images: Images, eps: float) -> Box:
    """The images that differ from these by at most eps in each pixel, and stay in [0, 1]."""
    return Box.between((images - eps).clamp(0, 1), (images + eps).clamp(0, 1))


def through(module: nn.Module, box: Box) -> Box:
    """What a layer makes of the box, in a box.

    Raises:
        InvalidModel: there is no bound for such a layer.
    """
    found = _THROUGH.get(type(module))
    if found is None:
        known = ", ".join(kind.__name__ for kind in _THROUGH if kind not in (Beside, Within))
        raise InvalidModel(
            f"there are no bounds for a layer {type(module).__name__}; there are for {known}"
        )
    return found(module, box)


def apart(last: nn.Module, box: Box, labels: Labels) -> Float[Tensor, "n k"]:
    """Upper bounds of each logit less the label's, from a box before the last layer.

    The layer and the difference as one linear map: tighter than the difference of bounds.

    Raises:
        InvalidModel: the last layer is not linear.
    """
    if not isinstance(last, nn.Linear):
        raise InvalidModel(
            f"bounds need a network that ends in a linear layer; it ends in {type(last).__name__}"
        )
    middle = last(box.middle)
    middle = middle - middle.gather(1, labels[:, None])
    weight = (last.weight - last.weight[labels, None]).abs()  # [n, k, d]
    found: Tensor = middle + torch.einsum("nkd,nd->nk", weight, box.radius)
    return found


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
    return Box(module(box.middle), box.radius * factor(module).abs())


def factor(module: nn.BatchNorm2d) -> Float[Tensor, "c 1 1"]:
    """What each channel is multiplied by.

    Raises:
        InvalidModel: it is not in eval mode, or has no fixed statistics at all.
    """
    if module.training or module.running_var is None:
        raise InvalidModel("bounds need batch normalisation with fixed statistics (eval mode)")
    found = (module.running_var + module.eps).rsqrt()
    return (found if module.weight is None else found * module.weight).view(-1, 1, 1)


def _monotone(module: nn.Module, box: Box) -> Box:
    """A layer that gives more, or as much, where it is given more."""
    return Box.between(module(box.low), module(box.high))


def _leaky(module: nn.LeakyReLU, box: Box) -> Box:
    low, high = module(box.low), module(box.high)
    if module.negative_slope >= 0:
        return Box.between(low, high)
    # It falls, and then it grows: 0 is the least where it lies between.
    least = torch.where((box.low < 0) & (box.high > 0), 0, torch.minimum(low, high))
    return Box.between(least, torch.maximum(low, high))


def _softplus(module: nn.Softplus, box: Box) -> Box:
    if module.threshold < _STEADY:
        raise InvalidModel(
            f"bounds need a Softplus whose threshold is at least {_STEADY}, above which it is a "
            f"line; it is {module.threshold}"
        )
    return _monotone(module, box)


def _both(module: nn.Module, box: Box) -> Box:
    """A layer that only moves numbers, or takes their mean."""
    return Box(module(box.middle), module(box.radius))


def _same(_: nn.Module, box: Box) -> Box:
    return box


def split(module: Beside | Within, box: Box) -> list[Box]:
    """The boxes of all that is alive before a layer."""
    middles, radii = parted(box.middle, module.shapes), parted(box.radius, module.shapes)
    return [Box(*two) for two in zip(middles, radii, strict=True)]


def _beside(module: Beside, box: Box) -> Box:
    parts = split(module, box)
    given = [parts[take] for take in module.takes]
    if isinstance(module.step, Sum):
        made = Box(given[0].middle + given[1].middle, given[0].radius + given[1].radius)
    else:
        made = through(module.step, given[0])
    return _together([*(parts[keep] for keep in module.keeps), made])


def _within(module: Within, box: Box) -> Box:
    parts = split(module, box)
    parts[module.place] = through(module.step, parts[module.place])
    return _together(parts)


def _together(parts: list[Box]) -> Box:
    return Box(joined([one.middle for one in parts]), joined([one.radius for one in parts]))


_THROUGH: dict[type[nn.Module], Callable[[Any, Box], Box]] = {
    Standardise: _standardised,
    nn.Conv2d: _convolved,
    nn.Linear: _multiplied,
    nn.BatchNorm2d: _normalised,
    **dict.fromkeys((nn.ReLU, nn.Tanh, nn.Sigmoid), _monotone),
    nn.LeakyReLU: _leaky,
    nn.Softplus: _softplus,
    nn.MaxPool2d: _monotone,
    nn.AvgPool2d: _both,
    nn.Flatten: _both,
    Beside: _beside,
    Within: _within,
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), _same),
}
