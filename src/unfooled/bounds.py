"""What is certain: images that are shown to stand, by a ladder of bounds, and images that fall.

Interval bounds, linear bounds, linear bounds with their slopes fitted to each image, branch and
bound: each rung is tighter than the one below and takes longer, so each is asked only about the
images that are read correctly and that the rungs below left open. Between the rungs the network is
asked about the images that look worst, so that what falls is found as well.

All of it is computed in double precision, for an eps that is larger by what the judge tolerates,
and a bound has to be below 0 by more than was lost: `_lost` says how much that is. What is shown
holds for the network in real numbers. One that is asked in single precision is off by its own
rounding: where it misreads an image itself, that image falls, whatever was shown.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unfooled import interval, memory
from unfooled.backward import Chain, chain
from unfooled.branching import Branched, branched
from unfooled.condensed import condensed, whole
from unfooled.crown import Known, above, apart, known, others
from unfooled.errors import InvalidModel, InvalidOption, brief
from unfooled.fitting import lowered, tightened
from unfooled.gradients import frozen
from unfooled.interval import Box
from unfooled.lines import rectifies
from unfooled.region import region
from unfooled.shapes import Images, Labels, Mask, PerImage
from unfooled.threat import TOLERANCE, Threat
from unfooled.witness import Witness

_AT_ONCE = 100  # images
_SINGLE = 1e-6  # of the largest margin, which single precision may lose
_DOUBLE = 2.0**-52  # of each product, twice what double precision may lose


@dataclass(frozen=True)
class Verdicts:
    """What became of each image. Where neither is so, it is not known.

    Attributes:
        stands: it is shown to be read correctly, and so is every other one inside the threat.
        falls: the network misreads one inside the threat that was found, or the image itself.
    """

    stands: Mask
    falls: Mask


def certified(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    slopes: int = 0,
    branches: int = 0,
) -> Mask:
    """Whether each image is read correctly, and so is every other one inside the threat.

    False means not shown, not that the image can be fooled. As for `examined`.
    """
    return examined(model, images, labels, threat, slopes=slopes, branches=branches).stands


def examined(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    slopes: int = 0,
    branches: int = 0,
) -> Verdicts:
    """Which images stand whatever is done to them inside the threat, and which fall.

    Args:
        model: made of layers that `interval` and `crown` know, ending in a linear layer; branches
            that are added up are followed, see `traced`.
        threat: Linf or L2.
        slopes: steps that fit the slopes of the linear bounds; 0 for none. Only for networks in
            which nothing but ReLUs bends.
        branches: parts into which branch and bound may cut what each image that is left could
            become; 0 for none. As for slopes.

    Raises:
        InvalidModel: there are no bounds for one of its layers.
        InvalidThreat: the threat is of another norm, or eps is infinite.
        InvalidOption: an option is below 0.
    """
    if not (slopes >= 0 and branches >= 0):
        raise InvalidOption(f"slopes and branches must be 0 or more, not {slopes} and {branches}")
    doubled = _doubled(model)
    with frozen(model), frozen(doubled), torch.no_grad():
        network = chain(doubled, images.double())

        def one(part: slice) -> Verdicts:
            witness = Witness(model, threat, images[part], labels[part])
            return _Ladder(doubled, network, witness, slopes, branches).climbed()

        found = list(memory.each(len(images), _AT_ONCE, one))
    stands, falls = (torch.cat([getattr(v, name) for v in found]) for name in ("stands", "falls"))
    return Verdicts(stands, falls)


def fallen(model: nn.Module, images: Images, labels: Labels, threat: Threat) -> Mask:
    """Which images fall, as far as a short look without bounds shows.

    Raises:
        InvalidThreat: the threat is neither of Linf nor of L2, or eps is infinite.
    """
    with frozen(model), torch.no_grad():
        clean = model(images)
        wrong = clean.scatter(1, labels[:, None], -torch.inf).argmax(1)
        around = region(images.double(), threat)
        return Witness(model, threat, images, labels).met(around, wrong)


@dataclass(frozen=True)
class _Ladder:
    """The rungs, for some images.

    Attributes:
        model: the network in double precision.
        network: its layers.
        witness: the network itself, with the images.
        slopes, branches: as for `examined`.
    """

    model: nn.Module
    network: Chain
    witness: Witness
    slopes: int
    branches: int

    def climbed(self) -> Verdicts:
        """One rung after the other, each on what is left."""
        images, labels, threat = self.images, self.witness.labels, self.threat
        around = region(images, threat)
        logits = self.model(images)
        clean = logits - logits.gather(1, labels[:, None])
        below = -torch.maximum(_SINGLE * clean.abs().amax(1), _lost(self.network, around.box))
        falls = self.witness.met(around, _highest(clean, labels)[1])
        left = ~falls & (_highest(clean, labels)[0] < below)
        stands = torch.zeros_like(left)
        if threat.norm == "Linf":
            worst = interval.margins(self.model, images, labels, threat)
            stands |= left & (_highest(worst, labels)[0] < below)
            left &= ~stands
        own = left.nonzero()[:, 0]
        if len(own) == 0:
            return Verdicts(stands, falls)
        found = known(self.network, images[own], threat)
        of, wrong = others(labels[own], logits.shape[1])
        open_ = ~(above(found, of, wrong, labels[own][of], logits.shape[1]) < below[own][of])
        of, wrong = of[open_], wrong[open_]
        met = self.witness.at(own[of]).met(around.at(own[of]), wrong)
        falls[own[of[met]]] = True
        for place, image in enumerate(own.tolist()):
            mine = torch.tensor([place], device=own.device)
            rows = apart(wrong[of == place], labels[own[of[of == place]]], logits.shape[1])
            if len(rows) and not falls[image]:
                last = self._fitted(found.at(mine), rows.to(images), own[mine], float(below[image]))
                stands[image], falls[image] = last.stands, last.falls
            else:
                stands[image] = not falls[image]
        return Verdicts(stands, falls)

    @property
    def images(self) -> Images:
        """In double precision."""
        return self.witness.images.double()

    @property
    def threat(self) -> Threat:
        """With all that the judge lets pass."""
        return Threat(self.witness.threat.norm, self.witness.threat.eps + TOLERANCE)

    def _fitted(
        self, found: Known, wanted: Float[Tensor, "m k"], image: Labels, below: float
    ) -> Branched:
        """The upper rungs, for one image whose wanted rows are still open."""
        modules = [found.chain.steps[place] for place in found.boxes]
        if not (self.slopes or self.branches) or not all(map(rectifies, modules)):
            return Branched(stands=False, falls=False)
        problem, rows = condensed(found, wanted)
        if self.slopes:
            problem = tightened(problem, self.slopes)
            last = lowered(problem, rows, whole(problem, len(rows.added)), self.slopes)
            rows = rows.at((~(last.bounds < below)).nonzero()[:, 0])
        if len(rows.added) == 0:
            return Branched(stands=True, falls=False)
        if self.branches == 0:
            return Branched(stands=False, falls=False)
        witness = self.witness.at(image)
        return branched(witness, problem, rows, below=below, branches=self.branches)


def _doubled(model: nn.Module) -> nn.Module:
    """A copy in double precision."""
    try:
        return copy.deepcopy(model).double()
    except Exception as error:  # a user's network may hold what cannot be copied
        raise InvalidModel(
            f"there are no bounds for {type(model).__name__}, which cannot be copied: "
            f"{brief(error)}"
        ) from error


def _lost(network: Chain, box: Box) -> PerImage:
    """What double precision may lose of a bound, image by image.

    All that is added up on the way back is, without signs, at most what the layers make of numbers
    without signs; and a sum of n products loses at most n roundings of that.
    """
    size = torch.maximum(box.low.abs(), box.high.abs())
    for step in network.steps:
        out = interval.through(step, Box(torch.zeros_like(size), size))
        size = torch.maximum(out.low.abs(), out.high.abs())
    products = sum(shape.numel() for shape in network.shapes)
    return _DOUBLE * products * 2 * size.amax(1)


def _highest(margins: Float[Tensor, "n k"], labels: Labels) -> tuple[Float[Tensor, " n"], Labels]:
    """The largest of the wrong classes, and which one it is."""
    best = margins.scatter(1, labels[:, None], -torch.inf).max(1)
    return best.values, best.indices
