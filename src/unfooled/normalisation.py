"""Whether a model was trained on images in another range: the part of `doctor.py` about pixels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unfooled.finding import AT_ONCE, Case, Finding, answers
from unfooled.layers import by_channel
from unfooled.shapes import Images, Mask
from unfooled.wording import percent

_SURE = 3.0  # standard errors
_BETTER = 0.02  # accuracy by which another range must be better
_ASKED = 24  # misread images that are looked at first
_PROMISING = 0.25  # share of those that another range must mend to be looked at in full
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

Way = tuple[str, tuple[float, ...], tuple[float, ...]]  # a name, means, standard deviations


def pixels(case: Case) -> Finding:
    """Whether the images are read clearly better in another usual range.

    A range that is right mends most of what is misread, so it is tried on a few misread images
    before it is tried on all. Where so few are misread that mending each of them could be chance,
    nothing can be found, whatever the accuracy is.
    """
    right, correct = case.accuracy, case.right
    low, high = (float(end) for end in case.images.aminmax())
    said = f"pixels from {low:.2g} to {high:.2g}"
    wrong = int((~correct).sum())
    if not _told_apart(wrong, 0):
        return Finding("pixels", "ok", f"{said}, read as they are", right)
    best, name, numbers = right, "", ""
    few = (~correct).nonzero()[:_ASKED, 0]
    for way, mean, std in ways(case.images):
        if float(_read(case, few, mean, std).float().mean()) < _PROMISING:
            continue
        theirs = _read(case, slice(None), mean, std)
        better = float(theirs.float().mean())
        gained, lost = int((theirs & ~correct).sum()), int((correct & ~theirs).sum())
        if better > max(best, right + _BETTER) and _told_apart(gained, lost):
            best, name, numbers = better, way, f"--mean {_words(mean)} --std {_words(std)}"
    if name:
        return Finding(
            "pixels",
            "doubt",
            f"{percent(right)} are read correctly in [0, 1], but {percent(best)} {name}: the "
            f"normalisation is missing; {numbers} puts it inside",
            best,
        )
    return Finding("pixels", "ok", f"{said}; read no better in any other usual range", right)


def _told_apart(gained: int, lost: int) -> bool:
    return gained - lost > _SURE * math.sqrt(gained + lost)


def _read(
    case: Case, which: Tensor | slice, mean: tuple[float, ...], std: tuple[float, ...]
) -> Mask:
    """Whether those images are read correctly when they are normalised so."""
    some = case.images[which]
    shown = (some - by_channel(mean, some)) / by_channel(std, some)
    found: Mask = answers(case.model, shown, AT_ONCE).argmax(1) == case.labels[which]
    return found


def ways(images: Images) -> list[Way]:
    """Ways in which a network may have been shown images."""
    channels = images.shape[1]
    std, mean = torch.std_mean(images, (0, 2, 3))
    own = tuple(tuple(round(float(x), 4) for x in row) for row in (mean, std.clamp_min(1e-4)))
    found: list[Way] = [
        ("when standardised by their own mean and std", own[0], own[1]),
        ("when scaled to 0..255", (0.0,) * channels, (0.00392157,) * channels),
        ("when scaled to -1..1", (0.5,) * channels, (0.5,) * channels),
    ]
    if channels == len(_IMAGENET[0]):
        found.append(("when standardised as ImageNet's are", *_IMAGENET))
    return found


def _words(numbers: Sequence[float]) -> str:
    some = numbers[:1] if len(set(numbers)) == 1 else numbers
    return ",".join(f"{number:g}" for number in some)
