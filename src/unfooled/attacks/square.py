"""The Square Attack: random search by square windows, which asks for logits alone."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unfooled.errors import InvalidOption
from unfooled.losses import cross_entropy, margin
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "bounded"
KNOWS = "scores"
NORMS = ("Linf", "L2")

Numbers = Float[Tensor, "n m"]  # uniform in (0, 1): one image's chance for one step
Places = Int64[Tensor, "n c s"]  # of pixels within a channel
Pixels = Float[Tensor, "n c s"]

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 steps
_CHUNK = 64  # steps whose random numbers are drawn at once
# Of the largest logit. A smaller gain is rounding, which differs from one batch to another.
_GAIN = 1e-6


def square(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    queries: int = 5000,
    p_init: float = 0.8,
) -> Images:
    """The image of the best loss that a random search by square windows found.

    Each query changes one window of the best image so far, and the change stays where it raised
    the loss: the margin, or with targets the cross-entropy. An image leaves once it is fooled.

    Args:
        queries: forward passes for each image, at least 1.
        p_init: share of the pixels that the first windows cover, in (0, 1]; it shrinks as
            published, along a schedule stretched to the number of queries.

    Raises:
        InvalidOption: queries is below 1, or p_init outside (0, 1].
        InvalidThreat: eps is infinite, so there is no ball to search.

    Source: Andriushchenko et al. 2020, https://arxiv.org/abs/1912.00049, algorithms 1 to 3.
    """
    if queries < 1 or not 0 < p_init <= 1:
        raise InvalidOption(
            f"square needs queries >= 1 and p_init in (0, 1]; "
            f"it got queries={queries}, p_init={p_init}"
        )
    threat.bounded()
    start, propose = {"Linf": (_stripes, _corner), "L2": (_mounds, _moved)}[threat.norm]
    batch = Batch.of(model, images, labels, targets, draws)
    current = start(images, threat.eps, batch.draws.step("start"))
    logits = batch.logits(current)
    best, misread = _loss(batch, logits), batch.misread(logits)
    result = current.clone()
    numbers = _numbers(batch, 0)
    for step in range(queries - 1):
        if misread.any():
            result[batch.places[misread]] = current[misread]
            left = ~misread
            batch, current = batch.keep(left), current[left]
            best, numbers = best[left], numbers[left]
            if not len(batch):
                return result
        if step % _CHUNK == 0:
            numbers = _numbers(batch, step)
        area = _share(p_init, step, queries) * images[0, 0].numel()
        chance = numbers[:, step % _CHUNK]
        places, values = propose(batch.images, current, threat.eps, area, chance)
        pixels = current.flatten(2)  # a view: what is written there is written into `current`
        before = pixels.gather(2, places)
        pixels.scatter_(2, places, values)
        logits = batch.logits(current)
        losses, misread = _loss(batch, logits), batch.misread(logits)
        better = misread | (losses - best > _GAIN * logits.abs().amax(1))
        best = torch.where(better, losses, best)
        pixels.scatter_(2, places, torch.where(better[:, None, None], values, before))
    result[batch.places] = current
    return result


def _loss(batch: Batch, logits: Logits) -> PerImage:
    """As published: the margin untargeted, the cross-entropy targeted."""
    loss = margin if batch.targets is None else cross_entropy
    return loss(logits, batch.labels, batch.targets)


def _numbers(batch: Batch, step: int) -> Float[Tensor, "n t m"]:
    """The chance of the next steps: two places, a direction, and a sign for each channel."""
    shape = (len(batch), _CHUNK, 5 + batch.images.shape[1])
    return batch.draws.step(step).uniform(torch.empty(shape, device=batch.images.device))


def _share(p_init: float, step: int, queries: int) -> float:
    """Of the pixels, that a window covers."""
    scaled = int(step / queries * 10000)
    return float(p_init / 2 ** sum(scaled > halving for halving in _HALVINGS))


def _window(images: Images, side: int, chance: Float[Tensor, "n 2"]) -> Int64[Tensor, "n 1 s"]:
    """The places of a square of pixels, the same in every channel."""
    h, w = images.shape[2:]
    free, inside = _square(h, w, side, images.device)
    corner = (chance * free).long()
    return (corner[:, :1] * w + corner[:, 1:] + inside)[:, None]


@lru_cache(maxsize=64)  # made once, not at every step
def _square(h: int, w: int, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """In how many places a square's corner may lie, and its pixels counted from there."""
    free = torch.tensor([h - side + 1, w - side + 1], device=device)
    steps = torch.arange(side, device=device)
    return free, (steps[:, None] * w + steps).flatten()


def _signs(chance: Numbers, like: Images) -> Float[Tensor, "n c 1"]:
    return (chance[:, -like.shape[1] :, None] - 0.5).sign().to(like.dtype)


def _stripes(images: Images, eps: float, draws: Draws) -> Images:
    """Each column of each channel eps brighter or darker."""
    return (images + eps * draws.signs(images[:, :, :1])).clamp_(0, 1)


def _corner(
    images: Images, current: Images, eps: float, area: float, chance: Numbers
) -> tuple[Places, Pixels]:
    """A window set to eps brighter or darker than it was without attack, each channel by itself.

    Were that what stands there already, the query would be lost: then the other way round.
    """
    side = min(max(round(math.sqrt(area)), 1), *images.shape[2:])
    places = _window(images, side, chance[:, :2]).expand(-1, images.shape[1], -1)
    clean, stands = images.flatten(2).gather(2, places), current.flatten(2).gather(2, places)
    change = eps * _signs(chance, images)
    same = ((clean + change).clamp_(0, 1) == stands).all(2).all(1)
    change = torch.where(same[:, None, None], -change, change)
    return places, (clean + change).clamp_(0, 1)


def _radius(eps: float, images: Images) -> float:
    """So much below eps that float32 rounding cannot lead outside."""
    return max(0.0, eps * (1 - 5e-7) - 6e-8 * math.sqrt(images[0].numel()))


def _mounds(images: Images, eps: float, draws: Draws) -> Images:
    """A grid of five by five mounds, each with its own sign and direction."""
    n, c, h, w = images.shape
    side = max(1, min(h, w) // 5)
    down, across = h // side, w // side
    top, left = (h - down * side) // 2, (w - across * side) // 2
    like = images.new_empty((n, c, down, across))
    lying = draws.step("lying").uniform(like[:, :1])[..., None, None] < 0.5
    mound = _mound(side, images)
    tiles = torch.where(lying, mound, mound.T) * draws.step("signs").signs(like)[..., None, None]
    delta = torch.zeros_like(images)
    inside = delta[:, :, top : top + down * side, left : left + across * side]
    inside.copy_(tiles.transpose(3, 4).reshape(inside.shape))
    size: Tensor = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (images + delta * (_radius(eps, images) / size)).clamp_(0, 1)


def _moved(
    images: Images, current: Images, eps: float, area: float, chance: Numbers
) -> tuple[Places, Pixels]:
    """A mound grown in one window, from what a second window gives up and what is left of eps."""
    c = images.shape[1]
    side = min(max(round(math.sqrt(area)), 3) // 2 * 2 + 1, *images.shape[2:])
    clean, stands = images.flatten(2), current.flatten(2)
    to = _window(images, side, chance[:, :2]).expand(-1, c, -1)
    off = _window(images, side, chance[:, 2:4]).expand(-1, c, -1)
    # Where the windows overlap, the first one's corner is named again: one value for each place.
    first = to[:, :, :1]
    w = images.shape[3]
    away = (off // w - first // w, off % w - first % w)
    shared = (away[0] >= 0) & (away[0] < side) & (away[1] >= 0) & (away[1] < side)
    off = torch.where(shared, first, off)

    start = clean.gather(2, to)
    old = stands.gather(2, to) - start
    given = (stands.gather(2, off) - clean.gather(2, off)).masked_fill_(shared, 0)
    kept = old.square().sum(2, keepdim=True)
    freed = kept + given.square().sum(2, keepdim=True)
    spent = (current - images).flatten(1).square().sum(1).view(-1, 1, 1)
    unused = (_radius(eps, images) ** 2 - spent).clamp_min(0) / c
    mound = _mound(side, images)
    lying = chance[:, 4, None, None] < 0.5
    grown = torch.where(lying, mound.flatten(), mound.T.flatten()) * _signs(chance, images)
    grown += old / kept.sqrt().clamp_min(1e-12)
    grown *= (freed + unused).sqrt() / grown.norm(dim=2, keepdim=True).clamp_min(1e-12)
    values = (start + grown).clamp_(0, 1)
    cleared = torch.where(shared, values[:, :, :1], clean.gather(2, off))
    return torch.cat([to, off], dim=2), torch.cat([values, cleared], dim=2)


def _mound(side: int, like: Images) -> Float[Tensor, "s s"]:
    """A hill in the upper half and a pit in the lower half of a square, of length 1 together."""
    half = side // 2
    mound = torch.cat([_hill(half, side), -_hill(side - half, side)])
    scaled: Tensor = mound / mound.norm()
    return scaled.to(like.dtype).to(like.device)


def _hill(rows: int, columns: int) -> Float[Tensor, "r c"]:
    """Rings around the middle, higher by 1 / (k + 1)^2 at each ring k inwards."""
    rings = max(rows // 2, columns // 2) + 1
    heights = (1 / torch.arange(1, rings + 1).double() ** 2).flip(0).cumsum(0).flip(0)
    down = (torch.arange(rows) - rows // 2).abs()
    across = (torch.arange(columns) - columns // 2).abs()
    return heights[torch.maximum(down[:, None], across).clamp_max(rings - 1)]
