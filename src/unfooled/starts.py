"""Where an attack begins that is told the class alone: at an image that is misread.

From there a bisection leads to the boundary between that image and the original. What is asked is
counted, so that a budget of queries is kept to the last one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Mask, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch, Rows

# What lies between originals and images at a share of the way, for one share each.
Blend = Callable[[Images, Images, PerImage], Images]

_NEARER = 0.9  # what a further random image must come down to, of the distance of the nearest


@dataclass(frozen=True)
class Quota:
    """Images under attack, and how often each may still be asked about.

    Attributes:
        batch: the images.
        left: queries left for each row; counted down in place.
    """

    batch: Batch
    left: Labels

    @classmethod
    def of(cls, batch: Batch, queries: int) -> "Quota":
        """So many queries for each row."""
        return cls(batch, torch.full_like(batch.places, queries))

    def keep(self, which: Mask) -> "Quota":
        """The rows that a mask keeps."""
        return Quota(self.batch.keep(which), self.left[which])

    def misread(self, attempts: Images, rows: Rows) -> Mask:
        """Whether attempts at these rows are misread; one query each, which must be left."""
        self.left.index_add_(0, rows, torch.full_like(rows, -1))
        return self.batch.fooled(attempts, rows)


def start(quota: Quota, threat: Threat, blend: Blend, tries: int, more: int) -> tuple[Images, Mask]:
    """A misread image for each row, blended from a random one, and whether one was found.

    Random images of many grains are tried, from single pixels to one shade for all: most networks
    read fine noise as one and the same class, whatever it is. Once one is misread, the next are
    asked about where they come nearer to the original than it did. The late ones are black and
    white, which more classes are read in.

    Args:
        quota: the rows.
        threat: its norm is the distance.
        blend: what lies between an original and a random image.
        tries: random images at most until one is misread.
        more: random images in all for a row that has found one.
    """
    batch = quota.batch
    far = batch.images.clone()
    least = torch.full((len(far),), torch.inf, dtype=far.dtype, device=far.device)
    for attempt in range(max(tries, more)):
        found = ~least.isinf()
        going = (found & (attempt < more)) | (~found & (attempt < tries))
        rows = (going & (quota.left > 0)).nonzero()[:, 0]
        if not len(rows):
            break
        images = batch.images[rows]
        random = _noise(images, batch.draws.keep(rows).step(("start", attempt)), attempt)
        if attempt >= more:
            random = random.round()
        distance = threat.distance(images, random).to(far.dtype)
        share = (_NEARER * least[rows] / distance.clamp_min(1e-30)).clamp_max(1.0)
        attempts = blend(images, random, share)
        misread = quota.misread(attempts, rows)
        far[rows[misread]] = attempts[misread]
        least[rows[misread]] = (share * distance)[misread]
    return far, ~least.isinf()


def _noise(like: Images, draws: Draws, attempt: int) -> Images:
    """Random greys; the grain changes with the attempt."""
    height, width = like.shape[2:]
    grain = 2 ** (attempt % min(height, width).bit_length())
    coarse = like[:, :, : -(-height // grain), : -(-width // grain)]
    noise = draws.uniform(coarse).to(like.dtype)
    return F.interpolate(noise, scale_factor=grain)[:, :, :height, :width].contiguous()


def straight(images: Images, far: Images, share: PerImage) -> Images:
    """On the straight lines between originals and images: L2 falls with the share."""
    return torch.lerp(images, far, share[:, None, None, None])


def clipped(images: Images, far: Images, share: PerImage) -> Images:
    """The images, every pixel no farther from the original than the share of the farthest pixel.

    Of all images at that Linf distance these are the nearest to `far`.
    """
    reach = (far - images).abs().flatten(1).amax(1) * share
    reach = reach[:, None, None, None]
    return torch.clamp(far, images - reach, images + reach)


def nearer(quota: Quota, far: Images, blend: Blend, tolerance: float) -> Images:
    """The nearest misread image between each original and one that is misread, by bisection.

    Args:
        quota: the rows that `far` belongs to; one that has no queries left gets no nearer.
        far: misread images.
        blend: what lies between.
        tolerance: the share of the way at which the bisection ends.
    """
    near = far.clone()
    high = far.new_ones(len(far))
    low = torch.zeros_like(high)
    while True:
        rows = ((high - low > tolerance) & (quota.left > 0)).nonzero()[:, 0]
        if not len(rows):
            return near
        middle = (low[rows] + high[rows]) / 2
        attempts = blend(quota.batch.images[rows], far[rows], middle)
        misread = quota.misread(attempts, rows)
        near[rows[misread]] = attempts[misread]
        high[rows] = torch.where(misread, middle, high[rows])
        low[rows] = torch.where(misread, low[rows], middle)
