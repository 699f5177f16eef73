"""The boundary attack: a random walk along the boundary that comes nearer step by step."""

import torch
from torch import nn

from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.starts import Quota, nearer, start, straight
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "decisions"
NORMS = ("L2",)

_EVERY = 5  # of these steps one stays at its distance, to learn how far the boundary is flat
_FACTOR = 1.03  # by which a step's size is adapted; success and failure balance at 1/2 and 1/4
_DRAWN = 16  # steps whose directions are drawn at once
_SEARCHED = 0.001  # share of the way at which the first bisection ends


def boundary(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    queries: int = 5000,
    source_step: float = 0.01,
    spherical_step: float = 0.1,
    tries: int = 1000,
) -> Images:
    """The last point of a random walk along what is misread; the image itself where none is found.

    Every attempt is a step in a random direction at right angles to the way to the original, then
    one towards the original. It is taken if it is still misread. Both sizes follow each image's own
    successes: half of the sideways steps and a quarter of all others shall succeed.

    Args:
        queries: passes an image, at least 1; all of them are used where a start was found.
        source_step: first step towards the original, as a share of the distance; between 0 and 1.
        spherical_step: first sideways step, as a share of the distance; above 0.
        tries: random images at most until one is misread, at least 1.

    Raises:
        InvalidOption: an option is outside its range.

    Source: Brendel et al. 2018, https://arxiv.org/abs/1712.04248, algorithm 1 and section 2.
    """
    if queries < 1 or tries < 1 or not 0 < source_step < 1 or not spherical_step > 0:
        raise InvalidOption(
            "boundary needs queries >= 1, tries >= 1, source_step between 0 and 1 and "
            f"spherical_step > 0; it got queries={queries}, tries={tries}, "
            f"source_step={source_step}, spherical_step={spherical_step}"
        )
    quota = Quota.of(Batch.of(model, images, labels, targets, draws), queries)
    near, found = start(quota, threat, straight, tries, queries // 50)
    quota, near = quota.keep(found), near[found]
    near = nearer(quota, near, straight, _SEARCHED)
    result = images.clone()
    distance = threat.distance(quota.batch.images, near).to(images.dtype)
    towards, sideways = (torch.full_like(distance, s) for s in (source_step, spherical_step))
    block = max(1, min(_DRAWN, 2**14 // images[0].numel()))
    for turn in range(queries):
        some = quota.left > 0
        if not some.all():
            result[quota.batch.places[~some]] = near[~some]
            quota, near = quota.keep(some), near[some]
            towards, sideways = towards[some], sideways[some]
        if not len(near):
            break
        if turn % block == 0 or not some.all():
            like = near[:, None].expand(-1, block, -1, -1, -1)
            directions = quota.batch.draws.step(turn // block).signs(like).unbind(1)
        level = turn % _EVERY == 0
        shrink = torch.zeros_like(towards) if level else towards
        attempts = _walked(quota.batch.images, near, directions[turn % block], sideways, shrink)
        misread = quota.misread(attempts, torch.arange(len(near), device=near.device))
        near = torch.where(misread[:, None, None, None], attempts, near)
        if level:
            sideways = sideways * torch.where(misread, _FACTOR**3, _FACTOR**-3)
        else:
            towards = (towards * torch.where(misread, _FACTOR**3, 1 / _FACTOR)).clamp_max(0.5)
    result[quota.batch.places] = near
    return result


def _walked(
    images: Images, near: Images, signs: Images, sideways: PerImage, towards: PerImage
) -> Images:
    """A step on the sphere around each original, then one towards it; both shares of the radius.

    The step goes along the part of the signs that is at right angles to the way to the original.
    """
    away, signs = (near - images).flatten(1), signs.flatten(1)
    square = torch.linalg.vecdot(away, away).clamp_min(1e-30)
    along = torch.linalg.vecdot(signs, away)
    # Pythagoras, twice: what is left of the signs' length, and the radius after the step.
    across = (signs.shape[1] - along**2 / square).clamp_min(1e-30).sqrt()
    length = (1 - towards) / (1 + sideways**2).sqrt()
    step = sideways * square.sqrt() / across * length
    away *= (length - step * along / square)[:, None]
    return away.addcmul_(signs, step[:, None]).view_as(images).add_(images).clamp_(0, 1)
