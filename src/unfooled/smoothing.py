"""A certificate under L2 for any network, or rather for another one that is made of it.

The *smoothed* classifier reads an image as the class that the network reads most often when noise
is added to it. Where that class comes up often enough, no change shorter than a radius can make
another one come up more often. So the certificate is about the smoothed classifier, never about the
network itself, and since its probabilities can only be estimated, it holds for each image with a
confidence of 1 - alpha.

It takes the noise to be Gaussian and the sum of image and noise to be exact, where it is one of
2^23 values a pixel and rounded to float32. The network meets pixels outside [0, 1].

Source: Cohen, Rosenfeld and Kolter 2019, https://arxiv.org/abs/1902.02918, section 3.2, "Certify".
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from unfooled import memory
from unfooled.borders import check_classes, check_input
from unfooled.errors import InvalidModel, InvalidOption
from unfooled.gradients import forward, frozen, part_size
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels

_MOST = 2**24  # draws for an image, which number them: id * _MOST + draw
ABSTAINS = -1  # what the smoothed classifier reads where no class comes up often enough


@dataclass(frozen=True)
class Smoothed:
    """What is certified of the smoothed classifier, image by image.

    Attributes:
        labels: the true classes, `[n]`.
        read_as: what the smoothed classifier reads, `ABSTAINS` where it does not say, `[n]`.
        radii: every change shorter than this leaves `read_as` as it is, in L2 and pixel units; 0
            where it abstains, `[n]`.
        sigma, n0, n, alpha: as `certify` was given them.
    """

    labels: NDArray[np.int64]
    read_as: NDArray[np.int64]
    radii: NDArray[np.float64]
    sigma: float
    n0: int
    n: int
    alpha: float

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Whether the smoothed classifier does not say what it reads, `[n]`."""
        abstained: NDArray[np.bool_] = self.read_as == ABSTAINS
        return abstained

    def stands(self, radius: float) -> NDArray[np.bool_]:
        """Whether each image is read correctly, whatever change up to that length is made, `[n]`.

        Reading it otherwise, or abstaining, is not standing.
        """
        stands: NDArray[np.bool_] = (self.read_as == self.labels) & (self.radii > radius)
        return stands


def certify(
    model: nn.Module,
    images: Images,
    labels: Labels,
    sigma: float,
    draws: Draws,
    *,
    n0: int = 100,
    n: int = 1000,
    alpha: float = 0.001,
) -> Smoothed:
    """What the smoothed classifier reads, and within which radius nothing changes that.

    Args:
        model: as its user hands it over; it is left as it was.
        images, labels: float in [0, 1], and their classes.
        sigma: standard deviation of the noise, in pixel units, above 0.
        draws: the chance of the noise, by the images' ids: no result depends on the batch.
        n0: draws that choose the class, at least 1.
        n: draws that count how often it comes up, at least 1; more make the radius larger.
        alpha: the probability that an image's certificate is wrong, above 0 and below 0.5.

    Raises:
        InvalidOption: one of the numbers is not what it must be.
        InvalidInput, InvalidModel: images, labels or logits are not what they should be.
    """
    _check(sigma, n0, n, alpha)
    check_input(images, labels)
    chosen, counted = _counts(model, images, labels, sigma, draws, n0, n)
    if not (chosen.any() or counted.any()):
        raise InvalidModel(
            "the logits of every noisy image are NaN or infinite: there is no class to vote for"
        )
    best = chosen.argmax(1)
    hits = counted.gather(1, best[:, None])[:, 0].numpy()
    least = lower(hits, n, alpha)
    sure = (least > 0.5) & (chosen.sum(1) > 0).numpy()
    radii = np.where(sure, sigma * stats.norm.ppf(np.where(sure, least, 0.5)), 0.0)
    read_as = np.where(sure, best.numpy(), ABSTAINS)
    return Smoothed(labels.cpu().numpy(), read_as, radii, sigma, n0, n, alpha)


def _check(sigma: float, n0: int, n: int, alpha: float) -> None:
    if not 0 < sigma < math.inf:
        raise InvalidOption(f"sigma must be above 0, in pixel units; it is {sigma}")
    if n0 < 1 or n < 1 or n0 + n > _MOST:
        raise InvalidOption(
            f"n0 and n must be at least 1, and {_MOST:,} together at most; they are {n0} and {n}"
        )
    if not 0 < alpha < 0.5:
        raise InvalidOption(f"alpha must be above 0 and below 0.5; it is {alpha}")


def lower(hits: NDArray[np.int64], n: int, alpha: float) -> Float[ndarray, " m"]:
    """What the probability is not below, with a confidence of 1 - alpha (Clopper and Pearson)."""
    from statsmodels.stats.proportion import proportion_confint

    # Of a two-sided interval at 2 alpha, one end.
    low, _ = proportion_confint(hits, n, alpha=2 * alpha, method="beta")
    return np.nan_to_num(np.asarray(low, dtype=np.float64))


def largest(sigma: float, n: int, alpha: float) -> float:
    """The radius of an image whose class comes up in every draw: no other can be larger."""
    least = float(lower(np.array([n]), n, alpha)[0])
    return sigma * float(stats.norm.ppf(max(least, 0.5)))


def _counts(
    model: nn.Module, images: Images, labels: Labels, sigma: float, draws: Draws, n0: int, n: int
) -> tuple[Int64[Tensor, "n k"], Int64[Tensor, "n k"]]:
    """How often each class comes up among the first n0 draws, and among the n that follow."""
    each = n0 + n
    ids = torch.arange(len(images)) if draws.ids is None else draws.ids.cpu()
    with frozen(model), torch.no_grad():
        size = part_size(model, images)
        classes = forward(model, images[:1].clone()).shape[1]
        check_classes(labels, None, classes)
        # A last column for logits that are not finite, which stand for no class.
        found = torch.zeros(2, len(images), classes + 1, dtype=torch.int64)

        def asked(part: slice) -> None:
            rows = torch.arange(part.start, part.stop)
            image, draw = rows // each, rows % each
            some = images[image.to(images.device)]
            own = draws.step("smoothing").at(ids[image] * _MOST + draw)
            logits = forward(model, some + sigma * own.normal(some))
            read = logits.argmax(1).masked_fill(~logits.isfinite().all(1), classes).cpu()
            stage = (draw >= n0).long()
            found.index_put_((stage, image, read), torch.ones_like(read), accumulate=True)

        for _ in memory.each(len(images) * each, size, asked):
            pass
    return found[0, :, :classes], found[1, :, :classes]
