"""Whether a model's gradient can be trusted: the part of `doctor.py` that takes gradients."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from unfooled import memory
from unfooled.finding import Finding
from unfooled.gradients import forward
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage
from unfooled.wording import percent

_FEW = 0.1  # share of images without a gradient that a network may have
# The step of a difference and the error that it may have, of the larger of the two slopes.
_STEPS = {torch.float64: (1e-5, 1e-2), torch.float32: (3e-2, 0.2)}


def gradients(model: nn.Module, images: Images) -> Finding:
    """Whether there is one, it is finite, and hardly any image goes without."""
    by_pixel = _gradient(model, images, _spread)
    if by_pixel is None:
        return Finding(
            "gradient",
            "doubt",
            "it gives no gradient: only black box attacks can say anything, such as square",
        )
    bad = int((~by_pixel.flatten(1).isfinite().all(1)).sum())
    if bad:
        return Finding(
            "gradient",
            "refused",
            f"it is NaN or infinite for {bad} of {len(images)} images; look for a root or a "
            "logarithm of 0, or an overflow",
            bad / len(images),
        )
    share = _none(by_pixel)
    if share > _FEW:
        return Finding(
            "gradient",
            "doubt",
            f"it is exactly zero for {percent(share, 0)} of the images, so attacks stand still; "
            "something rounds, clips or is cut off from the graph: wrap it by obfuscated.bpda",
            share,
        )
    return Finding(
        "gradient", "ok", f"finite; exactly zero for {percent(share, 0)} of the images", share
    )


def saturation(model: nn.Module, images: Images, labels: Labels) -> Finding:
    """Whether the cross-entropy still has a gradient, or is so sure that float32 has none."""
    losses: list[PerImage] = []

    def loss(logits: Logits) -> PerImage:
        losses.append(F.cross_entropy(logits, labels, reduction="none"))
        return losses[-1]

    by_pixel = _gradient(model, images, loss)
    if by_pixel is None:
        return Finding("saturation", "ok", "without a gradient there is nothing to lose")
    zero, lost = float((losses[0] == 0).float().mean()), _none(by_pixel)
    if lost:  # only then is there something that the logits may have not lost
        plain = _gradient(model, images, _spread)
        lost = 0.0 if plain is None else max(0.0, lost - _none(plain))
    said = (
        f"its loss is exactly 0 for {percent(zero, 0)} of the images, "
        f"its gradient for {percent(lost, 0)}"
    )
    if lost > _FEW:
        return Finding(
            "saturation",
            "doubt",
            f"the cross-entropy underflows: {said}; divide the logits by a constant, and attack "
            "by a margin too, as apgd and autoattack do",
            lost,
        )
    return Finding("saturation", "ok", f"cross-entropy: {said}", lost)


def differences(model: nn.Module, images: Images) -> Finding:
    """Whether the gradient is what the answers do when the pixels move."""
    tried = {torch.float32: _error(model, images.float(), torch.float32)}
    first = tried[torch.float32]
    # In float32 a step is so wide that a network may bend within it. In float64, where a large
    # network takes five times as long, it is not.
    if first is not None and not first <= _STEPS[torch.float32][1]:
        try:
            wide = copy.deepcopy(model).double()
            second = _error(wide, images.double(), torch.float64)
        except Exception as refusal:  # it cannot be copied, or insists on float32
            if memory.exhausted(refusal):
                raise
            second = None
        # One that rounds to float32 inside disagrees with such small steps for that alone.
        if second is not None and second <= _STEPS[torch.float64][1]:
            tried = {torch.float64: second}
    ((kind, error),) = tried.items()
    if error is None:
        return Finding("differences", "ok", "without a gradient there is nothing to compare")
    said = f"by {percent(error)} in half of the images, in {str(kind).removeprefix('torch.')}"
    if not error <= _STEPS[kind][1]:
        return Finding(
            "differences",
            "doubt",
            f"the gradient is not what small changes of the pixels do: it is off {said}; an attack "
            "that follows it goes astray, so ask by scores too: square",
            error,
        )
    return Finding("differences", "ok", f"gradient and finite differences differ {said}", error)


def _error(model: nn.Module, images: Images, kind: torch.dtype) -> float | None:
    """The median over the images of how far slope and difference are apart."""
    step = _STEPS[kind][0]
    # Where a clip to [0, 1] inside does nothing, and where no two pixels are equal: on a flat
    # background a max-pool has a kink at any step.
    ties = Draws(0, "ties").uniform(torch.empty_like(images, dtype=torch.float32))
    inner = 0.1 + 0.75 * images + 0.05 * ties.to(images)
    by_pixel = _gradient(model, inner, _spread)
    if by_pixel is None:
        return None
    chance = Draws(0, "doctor").normal(torch.empty(len(images), images[0].numel()))
    # Halfway along the gradient, where there is much to see, and halfway by chance.
    way = F.normalize(by_pixel.flatten(1)) + F.normalize(chance.to(by_pixel))
    way = F.normalize(way).view_as(inner)
    with torch.no_grad():
        ahead, behind = (_spread(forward(model, inner + sign * step * way)) for sign in (1, -1))
    slope: PerImage = (by_pixel * way).flatten(1).sum(1)
    found = (ahead - behind) / (2 * step)
    size = torch.maximum(slope.abs(), found.abs()).clamp_min(1e-12)
    return float(((slope - found).abs() / size).median())


def _spread(logits: Logits) -> PerImage:
    """A number in which every logit takes part, and none undoes another."""
    return logits @ torch.linspace(-1, 1, logits.shape[1]).square().add(0.1).cumsum(0).to(logits)


def _gradient(
    model: nn.Module, images: Images, value: Callable[[Logits], torch.Tensor]
) -> Images | None:
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        total = value(forward(model, leaf)).sum()
        if not total.requires_grad:
            return None
        return torch.autograd.grad(total, leaf, allow_unused=True)[0]


def _none(by_pixel: Images) -> float:
    """The share of images whose gradient is exactly zero."""
    return float((~by_pixel.flatten(1).any(1)).float().mean())
