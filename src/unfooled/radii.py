"""Certified accuracy by radius, in words and as JSON: the command `unfooled smooth`."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from unfooled import __version__
from unfooled.crafting import Saved
from unfooled.errors import InvalidOption
from unfooled.smoothing import Smoothed, largest
from unfooled.statistics import Estimate, share
from unfooled.wording import percent

SHARES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # of sigma, the radii that are told
CAUTION = (
    "This certifies the smoothed classifier, which reads an image by a vote over noisy copies; it "
    "says nothing about the network by itself. Each image's certificate holds with a confidence of "
    "{:g} %."
)


def chosen(smoothed: Smoothed, asked: Sequence[float] | None) -> list[float]:
    """The radii to tell: those that were asked for, or some up to the largest possible.

    Raises:
        InvalidOption: one of them is below 0 or no number.
    """
    if asked is not None:
        if not all(0 <= radius < np.inf for radius in asked):
            raise InvalidOption(f"radii must be 0 or more; they are {list(asked)}")
        return sorted(set(asked))
    most = largest(smoothed.sigma, smoothed.n, smoothed.alpha)
    return [one * smoothed.sigma for one in SHARES if one * smoothed.sigma < most or one == 0]


def certified(smoothed: Smoothed, radius: float) -> Estimate:
    """The share of images that are read correctly whatever change up to that length is made."""
    return share(smoothed.stands(radius)[None, :])


def caution(smoothed: Smoothed) -> str:
    """What the numbers are about, and what not."""
    return CAUTION.format(100 * (1 - smoothed.alpha))


def summary(smoothed: Smoothed, radii: Sequence[float]) -> list[tuple[str, str]]:
    """Rows of a table: the radius, and the certified accuracy with its interval."""
    rows = []
    for radius in radii:
        found = certified(smoothed, radius)
        interval = f"({100 * found.low:.1f} to {100 * found.high:.1f})"
        rows.append((f"{radius:g}", f"{percent(found.value)} {interval}"))
    return rows


def packed(saved: Saved, smoothed: Smoothed, ids: Sequence[int], radii: Sequence[float]) -> bytes:
    """All of it as JSON."""
    curve = []
    for radius in radii:
        found = certified(smoothed, radius)
        curve.append({"radius": radius, "value": found.value, "low": found.low, "high": found.high})
    about: dict[str, Any] = {
        "unfooled": __version__,
        "about": caution(smoothed),
        "model": saved.path.name,
        "model_sha256": saved.sha256,
        "dataset": saved.data.name,
        "dataset_sha256": saved.data.sha256,
        "norm": "L2",
        "sigma": smoothed.sigma,
        "n0": smoothed.n0,
        "n": smoothed.n,
        "alpha": smoothed.alpha,
        "largest_radius": largest(smoothed.sigma, smoothed.n, smoothed.alpha),
        "certified_accuracy": curve,
        "images": {
            "ids": list(ids),
            "labels": smoothed.labels.tolist(),
            "read_as": smoothed.read_as.tolist(),
            "radius": smoothed.radii.tolist(),
            "abstained": smoothed.abstained.tolist(),
        },
    }
    return (json.dumps(about, indent=2, allow_nan=False) + "\n").encode()
