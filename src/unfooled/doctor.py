"""Seconds of checks on a model before hours of attacks: what would make their numbers worthless.

Nothing here changes the model or raises for what is wrong with it; whoever evaluates it freezes it
anyway, which puts it into eval mode.

Most checks follow Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5, and Athalye et
al. 2018, https://arxiv.org/abs/1802.00420, section 3.1.
"""

import math
from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from unfooled import memory, normalisation, pulse
from unfooled.borders import check_input
from unfooled.errors import brief
from unfooled.finding import AT_ONCE, ROUNDING, Case, Finding, answers
from unfooled.gradients import frozen
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.wording import percent

# Few images in each check: a large network takes 10 ms and more for each on a CPU.
_BATCHES = {1: 7, 7: 21, 64: 64}  # besides AT_ONCE, and the images that are read in such batches
_FOLLOWED = 32  # images whose gradient is taken
_COMPARED = 16  # images whose gradient is compared with differences
_RENAMED = 0.1  # accuracy by which other names of the classes must be better
_SURE = 3.0  # standard errors


def examine(model: nn.Module, images: Images, labels: Labels, classes: int) -> list[Finding]:
    """What is found, check by check; it ends early where nothing more can be asked.

    Args:
        model: as its user hands it over; it is left as it was.
        images: some hundred test images, float in [0, 1].
        labels: their classes.
        classes: of the data.

    Raises:
        InvalidInput: images or labels are not what they should be, whatever the model is.
        OutOfMemory: memory has no room for it, which says nothing about the model.
    """
    check_input(images, labels)
    found = [_mode(model)]
    room = memory.needed(f"examining a network on {len(images)} images", "fewer images")
    with room, Draws(0, "doctor").torch_state(), frozen(model):
        try:
            logits = answers(model, images, AT_ONCE)
        except Exception as error:  # whatever a user's network raises
            if memory.exhausted(error):
                raise
            sentence = f"it cannot read images {list(images.shape[1:])}: {brief(error)}"
            return [*found, Finding("forward", "refused", sentence)]
        case = Case(model, images, labels, classes, logits)
        for first in (_finite, _classes):
            found.append(first(case))
            if found[-1].verdict == "refused":
                return found
        for name, check in _CHECKS.items():
            found.append(_tried(name, check, case))
        if any(one.check == "repeat" and one.verdict != "ok" for one in found):
            # What a random model answers differs with everything; that says nothing of its own.
            found = [one for one in found if one.check not in ("batch", "differences")]
    return found


def _tried(name: str, check: Callable[[Case], Finding], case: Case) -> Finding:
    try:
        return check(case)
    except Exception as error:  # whatever a user's network raises
        if memory.exhausted(error):
            raise
        return Finding(name, "refused", f"it raised while this was examined: {brief(error)}")


def _mode(model: nn.Module) -> Finding:
    wild = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    kinds = sorted(
        {type(m).__name__ for m in model.modules() if m.training and isinstance(m, wild)}
    )
    if not any(module.training for module in model.modules()):
        return Finding("mode", "ok", "eval mode")
    named = f", with {' and '.join(kinds)}" if kinds else ""
    return Finding(
        "mode", "fixed", f"it came in train mode{named}; it is examined and evaluated in eval mode"
    )


def _finite(case: Case) -> Finding:
    share = float((~case.logits.isfinite().all(1)).float().mean())
    if share:
        return Finding(
            "numbers",
            "refused",
            f"its logits are NaN or infinite for {percent(share, 0)} of the images; look for a "
            "division by 0, a logarithm of 0, an overflow, or damaged weights",
            share,
        )
    kinds = {p.dtype for p in case.model.parameters() if p.is_floating_point()}
    small = [kind for kind in kinds | {case.logits.dtype} if torch.finfo(kind).bits < 32]
    where = sorted({str(p.device) for p in case.model.parameters()} | {str(case.images.device)})
    if small:
        return Finding(
            "numbers",
            "doubt",
            f"it computes in {str(small[0]).removeprefix('torch.')}, where small steps are lost in "
            "rounding; call .float() on it",
        )
    if len(where) > 1:
        return Finding("numbers", "doubt", f"it lies on several devices: {', '.join(where)}")
    size = float(case.logits.abs().max())
    return Finding("numbers", "ok", f"finite logits, the largest {size:.3g}", size)


def _classes(case: Case) -> Finding:
    known, most = case.logits.shape[1], int(case.labels.max())
    if known != case.classes or not 0 <= int(case.labels.min()) <= most < known:
        return Finding(
            "classes",
            "refused",
            f"it returns {known} logits for data of {case.classes} classes, whose labels reach "
            f"up to {most}; take the network or the data set that belongs to the other",
            known,
        )
    return Finding("classes", "ok", f"{known} logits for {case.classes} classes", known)


def _output(case: Case) -> Finding:
    logits = case.logits
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < ROUNDING).all()):
        sure = float((logits.max(1).values == 1).float().mean())
        return Finding(
            "output",
            "doubt",
            "it returns probabilities, whose gradient vanishes where it is sure, so that it looks "
            f"robust ({percent(sure, 0)} of the images are read with exactly 1); return the "
            "logits, without softmax",
            sure,
        )
    if bool((logits <= 0).all()) and bool((logits.logsumexp(1).abs() < ROUNDING).all()):
        return Finding("output", "ok", "log-probabilities, which do as logits")
    return Finding("output", "ok", "logits")


def _accuracy(case: Case) -> Finding:
    n, right = len(case.labels), case.accuracy
    counts = torch.bincount(case.labels, minlength=case.classes)
    chance = float(counts.max()) / n
    renamed = _renamed(case)
    if renamed - right > max(_RENAMED, _SURE / math.sqrt(n)):
        return Finding(
            "labels",
            "doubt",
            f"{percent(right)} are read correctly, but {percent(renamed)} if its classes are "
            "renamed: they stand in another order than those of the data",
            right,
        )
    if right <= chance + _SURE * math.sqrt(chance * (1 - chance) / n):
        return Finding(
            "labels",
            "doubt",
            f"{percent(right)} of {n} images are read correctly, no better than guessing "
            f"({percent(chance)}): it is untrained, its weights were not loaded, or labels or "
            "pixels are others",
            right,
        )
    return Finding("labels", "ok", f"{percent(right)} of {n} images are read correctly", right)


def _renamed(case: Case) -> float:
    """The accuracy under the best renaming of the classes, found on other images than counted."""
    read = case.logits.argmax(1)
    even = torch.arange(len(read), device=read.device) % 2 == 0
    right = 0
    for half in (even, ~even):
        pairs = case.labels[half] * case.classes + read[half]
        table = torch.bincount(pairs, minlength=case.classes**2).view(case.classes, case.classes)
        rows, columns = linear_sum_assignment(-table.cpu().numpy())
        names = torch.empty(case.classes, dtype=torch.int64)
        names[torch.as_tensor(columns)] = torch.as_tensor(rows)
        right += int((names.to(read)[read[~half]] == case.labels[~half]).sum())
    return right / len(read)


def _repeat(case: Case) -> Finding:
    again = answers(case.model, case.images[:AT_ONCE], AT_ONCE)
    apart = _apart(case.logits[:AT_ONCE], again)
    if apart > ROUNDING:
        return Finding(
            "repeat",
            "doubt",
            f"asked twice it answers differently, by {percent(apart)} of its largest logit: it is "
            "random; attack and judge obfuscated.eot(model), the mean of several answers",
            apart,
        )
    return Finding("repeat", "ok", "the same answer twice", apart)


def _batch(case: Case) -> Finding:
    worst = 0.0
    for size, count in _BATCHES.items():
        some = case.images[:count]
        try:
            found = answers(case.model, some, size)
        except Exception as error:  # whatever a user's network raises
            if memory.exhausted(error):
                raise
            sentence = f"it cannot read {size} images at a time: {brief(error)}"
            return Finding("batch", "refused", sentence, size)
        worst = max(worst, _apart(case.logits[: len(some)], found))
    sizes = ", ".join(map(str, _BATCHES))
    if worst > 10 * ROUNDING:
        return Finding(
            "batch",
            "doubt",
            f"its answer to an image depends on the images beside it, by {percent(worst)} of its "
            f"largest logit in batches of {sizes}; let it use running statistics",
            worst,
        )
    return Finding("batch", "ok", f"the same answer in batches of {sizes}", worst)


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))


def _gradient(case: Case) -> Finding:
    return pulse.gradients(case.model, case.images[:_FOLLOWED])


def _differences(case: Case) -> Finding:
    return pulse.differences(case.model, case.images[:_COMPARED])


def _saturation(case: Case) -> Finding:
    return pulse.saturation(case.model, case.images[:_FOLLOWED], case.labels[:_FOLLOWED])


_CHECKS: dict[str, Callable[[Case], Finding]] = {
    "output": _output,
    "labels": _accuracy,
    "pixels": normalisation.pixels,
    "repeat": _repeat,
    "batch": _batch,
    "gradient": _gradient,
    "differences": _differences,
    "saturation": _saturation,
}
