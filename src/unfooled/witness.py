"""The other side of a bound: images inside the threat that the network itself misreads.

Whatever is found in double precision, on lines instead of layers, counts only if the network, asked
in its own precision about that very image, misreads it.

Source of the way to them: Frank and Wolfe 1956, https://doi.org/10.1002/nav.3800030109.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import nn

from unfooled.gradients import forward
from unfooled.region import Region
from unfooled.shapes import Images, Labels, Logits, Mask
from unfooled.threat import Threat

_STEPS = 8  # towards an image that is misread


@dataclass(frozen=True)
class Witness:
    """A network, and images about whose surroundings it can be asked.

    Attributes:
        model: frozen.
        threat: of Linf or L2.
        images: in the network's precision.
        labels: theirs.
    """

    model: nn.Module
    threat: Threat
    images: Images
    labels: Labels

    def at(self, of: Int64[torch.Tensor, " m"]) -> "Witness":
        """The images at these places, which may come several times."""
        return Witness(self.model, self.threat, self.images[of], self.labels[of])

    def misread(self, moved: Images) -> Mask:
        """Whether each of these is inside the threat around its image, and misread.

        Args:
            moved: in any precision; rounding to the network's may put them outside, so they are
                moved back inside first.
        """
        if not len(moved):
            return torch.zeros(0, dtype=torch.bool, device=moved.device)
        with torch.no_grad():
            asked = self.threat.project(self.images, moved.to(self.images))
            return self._wrong(forward(self.model, asked), asked)

    def met(self, around: Region, wrong: Labels) -> Mask:
        """Whether an image that is misread is met on the way to where a wrong class is near.

        Args:
            around: where the way may lead, one for each image.
            wrong: the class of each image that is climbed for.
        """
        found = torch.zeros_like(self.labels, dtype=torch.bool)
        if not len(found):
            return found
        moved = self.images
        for step in range(_STEPS):
            with torch.enable_grad():
                leaf = moved.clone().requires_grad_()
                logits = forward(self.model, leaf)
                rise = logits.gather(1, wrong[:, None]) - logits.gather(1, self.labels[:, None])
                (gradient,) = torch.autograd.grad(rise.sum(), leaf)
            found |= self._wrong(logits.detach(), moved)
            end = around.farthest(gradient.to(around.box.middle))
            moved = moved + (2 / (step + 2)) * (end.to(moved) - moved)
            moved = self.threat.project(self.images, moved)
        return found | self.misread(moved)

    def _wrong(self, logits: Logits, asked: Images) -> Mask:
        """What is not finite is read as no class, as the judge has it."""
        wrong = (logits.argmax(1) != self.labels) | ~logits.isfinite().all(1)
        return wrong & self.threat.allows(self.images, asked)
