"""What an attacker may do: the images within eps of an image, measured by a norm."""

import math
from dataclasses import dataclass

from unfooled.errors import InvalidThreat
from unfooled.norms import NORMS, Norm
from unfooled.randomness import Draws
from unfooled.shapes import Images, Mask, PerImage

TOLERANCE = 1e-6  # float32 rounding of image + change, in pixel units


@dataclass(frozen=True)
class Threat:
    """All images in [0, 1] whose distance from the original is at most eps.

    Attributes:
        norm: "Linf" (the largest change of a pixel), "L2" (the Euclidean length of the change),
            "L1" (the sum of all changes), "L0" (the number of changed pixels) or "spatial" (the
            share of the largest rotation and shift).
        eps: in pixel units, where black is 0 and white is 1; a count for L0, a share for spatial.

    Raises:
        InvalidThreat: the norm is unknown, eps is negative or NaN, or less than a pixel under L0.
    """

    norm: str
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise InvalidThreat(f"unknown norm {self.norm!r}; known: {', '.join(NORMS)}")
        if not self.eps >= 0:
            raise InvalidThreat(
                f"eps must be 0 or more, in pixel units of 0 to 1; it is {self.eps}"
            )
        if self.norm == "L0" and 0 < self.eps < 1:
            raise InvalidThreat(
                f"L0 counts changed pixels: eps must be 0, or 1 or more; it is {self.eps}"
            )

    @property
    def _norm(self) -> Norm:
        return NORMS[self.norm]

    def distance(self, images: Images, adversarial: Images) -> PerImage:
        """How far each image was moved, in float64."""
        return self._norm.distance(images, adversarial)

    def allows(self, images: Images, adversarial: Images) -> Mask:
        """Whether each adversarial image is within eps, with every pixel in [0, 1]; NaN is not."""
        return self.reaches(self.distance(images, adversarial), adversarial)

    def reaches(self, distance: PerImage, adversarial: Images) -> Mask:
        """`allows`, of adversarial images whose distance is known already."""
        pixels = adversarial.flatten(1)
        in_range = ((pixels >= 0) & (pixels <= 1)).all(1)
        # No warp at all leads to an image at an infinite distance: no eps allows that.
        return in_range & (distance <= self.eps + TOLERANCE) & distance.isfinite()

    def project(self, images: Images, adversarial: Images) -> Images:
        """Each adversarial image moved back to within eps and into [0, 1].

        The clamp to [0, 1] can only shorten the change, so the order of the two keeps both.
        """
        return self._norm.project(adversarial - images, self.eps).add_(images).clamp_(0, 1)

    def as_8bit(self, images: Images, adversarial: Images) -> Images:
        """Each adversarial image as a file of 8 bits would hold it: every pixel k / 255.

        Rounded to the nearest; where that would lead a pixel farther than eps from its original
        (which only Linf can tell pixel by pixel), to the nearest that does not.
        """
        levels = adversarial.double() * 255
        rounded = levels.round()
        if self.norm == "Linf" and math.isfinite(self.eps):
            # Half of what `allows` tolerates, as float32 cannot hold every k / 255.
            reach = 255 * (self.eps + TOLERANCE / 2)
            original = images.double() * 255
            rounded = rounded.clamp((original - reach).ceil(), (original + reach).floor())
        return (rounded.clamp(0, 255) / 255).to(adversarial.dtype)

    def steepest(self, gradient: Images) -> Images:
        """The change of size 1 along which a loss with this gradient grows fastest."""
        return self._norm.steepest(gradient)

    def random_start(self, images: Images, draws: Draws) -> Images:
        """A uniformly random point of the ball, clamped to [0, 1].

        Raises:
            InvalidThreat: eps is infinite, so there is no ball to draw from.
        """
        self.bounded()
        return (images + self._norm.inside(images, self.eps, draws)).clamp_(0, 1)

    def random_edge(self, images: Images, draws: Draws) -> Images:
        """A random point at distance eps, clamped to [0, 1].

        Raises:
            InvalidThreat: eps is infinite.
        """
        self.bounded()
        return (images + self._norm.edge(images, self.eps, draws)).clamp_(0, 1)

    def bounded(self) -> None:
        """Let only a finite eps pass.

        Raises:
            InvalidThreat: eps is infinite.
        """
        if math.isinf(self.eps):
            raise InvalidThreat("this attack needs a finite eps; it is infinite")

    def meant(self) -> None:
        """Let only an eps pass that somebody can have meant: no pixel can be moved by more than 1.

        Raises:
            InvalidThreat: it is finite and above 1 under Linf.
        """
        if self.norm == "Linf" and 1 < self.eps < math.inf:
            raise InvalidThreat(
                f"Linf eps is at most 1, in pixel units of 0 to 1; it is {self.eps:g}. Of pixels "
                f"from 0 to 255 that would be {self.eps:g}/255"
            )

    def __str__(self) -> str:
        return f"{self.norm} {self.eps:g}"
