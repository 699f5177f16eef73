"""What no attack can do: images that are shown to stand, by a ladder of bounds.

Interval bounds, linear bounds, linear bounds with their slopes fitted to each image, branch and
bound: each rung is tighter than the one below and takes longer, so each is asked only about the
images that are read correctly and that the rungs below left open.

All of it is computed in double precision, and a bound has to be below 0 by a millionth of the
image's largest: every bound is a sum of at most some hundred thousand products a layer, of which
double precision loses less than 1e-10, and fitted slopes and multipliers may be anything in their
range, so that it does not matter how they were rounded. What is shown holds for the network in
real numbers. One that is asked in single precision, or about images that lie a rounding error
outside the threat, is off by as much.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unfooled import interval
from unfooled.backward import Chain, chain
from unfooled.branching import branched
from unfooled.condensed import condensed, lowered, tightened, whole
from unfooled.crown import Known, above, apart, known, others
from unfooled.errors import InvalidOption
from unfooled.gradients import frozen
from unfooled.lines import rectifies
from unfooled.shapes import Images, Labels, Mask
from unfooled.threat import Threat

_AT_ONCE = 100  # images
_ROUNDING = 1e-6  # of the largest bound: far more than double precision loses on the way


def certified(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    slopes: int = 0,
    seconds: float = 0.0,
) -> Mask:
    """Whether each image is read correctly, and so is every other one inside the threat.

    False means not shown, not that the image can be fooled.

    Args:
        model: an `nn.Sequential`, nested or not, of layers that `interval` and `crown` know, ending
            in a linear layer.
        threat: Linf or L2.
        slopes: steps that fit the slopes of the linear bounds; 0 for none. Only for networks in
            which nothing but ReLUs bends.
        seconds: of branch and bound, for each image that is left; 0 for none. As for slopes.

    Raises:
        InvalidModel: there are no bounds for one of its layers.
        InvalidThreat: the threat is of another norm, or eps is infinite.
        InvalidOption: an option is below 0.
    """
    if not (slopes >= 0 and seconds >= 0):
        raise InvalidOption(f"slopes and seconds must be 0 or more, not {slopes} and {seconds}")
    doubled = copy.deepcopy(model).double()
    found = []
    with frozen(doubled), torch.no_grad():
        network = chain(doubled, images.double())
        for part, own in zip(images.double().split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
            found.append(_climbed(doubled, network, part, own, threat, slopes, seconds))
    return torch.cat(found)


def _climbed(
    model: nn.Module,
    network: Chain,
    images: Images,
    labels: Labels,
    threat: Threat,
    slopes: int,
    seconds: float,
) -> Mask:
    """The rungs one after the other, each on what is left."""
    logits = model(images)
    clean = logits - logits.gather(1, labels[:, None])
    below = -_ROUNDING * clean.abs().amax(1)
    left = _highest(clean, labels) < below
    stands = torch.zeros_like(left)
    if threat.norm == "Linf":
        worst = interval.margins(model, images, labels, threat)
        stands |= left & (_highest(worst, labels) < below)
        left &= ~stands
    own = left.nonzero()[:, 0]
    if len(own) == 0:
        return stands
    found = known(network, images[own], threat)
    of, wrong = others(labels[own], logits.shape[1])
    bounds = above(found, of, wrong, labels[own][of], logits.shape[1])
    open_ = ~(bounds < below[own][of])
    for place, image in enumerate(own.tolist()):
        mine = open_ & (of == place)
        rows = apart(wrong[mine], labels[own][of[mine]], logits.shape[1])
        one = found.at(torch.tensor([place], device=own.device))
        label, limit = labels[image : image + 1], float(below[image])
        stands[image] = len(rows) == 0 or _fitted(
            model, one, rows.to(images), label, limit, slopes, seconds
        )
    return stands


def _fitted(
    model: nn.Module,
    found: Known,
    wanted: Float[Tensor, "m k"],
    label: Labels,
    below: float,
    slopes: int,
    seconds: float,
) -> bool:
    """The upper rungs, for one image whose wanted rows are still open."""
    modules = [found.chain.steps[place] for place in found.boxes]
    if (slopes == 0 and seconds == 0) or not all(rectifies(module) for module in modules):
        return False
    problem, rows = condensed(found, wanted)
    if slopes:
        problem = tightened(problem, slopes)
        bounds = lowered(problem, rows, whole(problem, len(rows.added)), slopes).bounds
        rows = rows.at((~(bounds < below)).nonzero()[:, 0])
    if len(rows.added) == 0:
        return True
    if seconds == 0:
        return False
    return branched(model, label, problem, rows, below=below, seconds=seconds).stands


def _highest(margins: Float[Tensor, "n k"], labels: Labels) -> Float[Tensor, " n"]:
    """The largest of the wrong classes."""
    return margins.scatter(1, labels[:, None], -torch.inf).amax(1)
