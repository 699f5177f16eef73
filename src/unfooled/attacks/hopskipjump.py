"""HopSkipJump: along the boundary to its nearest point, by a model that tells the class alone."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, PerImage
from unfooled.starts import Quota, clipped, nearer, start, straight
from unfooled.threat import Threat
from unfooled.victim import Batch

PROMISE = "nearest"
KNOWS = "decisions"
NORMS = ("L2", "Linf")

# Attempts in hand at once: few enough to stay in a CPU's cache, enough for full passes.
_AT_ONCE = 1024
_PIXELS_AT_ONCE = 2**24
_HALVINGS = 15  # of a step that leads out of the misread side

# Of the way to the original: nearer, float32 rounding decides what is read.
_FINEST = 1e-5


def hopskipjump(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    queries: int = 5000,
    initial_samples: int = 100,
    tries: int = 1000,
) -> Images:
    """The nearest point that was found on the boundary of what is misread; else the image itself.

    Each round estimates the boundary's normal from what random small changes are read as, takes a
    step along it, and bisects back to the boundary. It begins at a random image that is misread;
    where none is found, which is likely when targets are given, the image comes back as it was.

    The random changes are rows of a Hadamard matrix times random signs: being orthogonal, they say
    more about the normal than as many independent ones.

    Args:
        queries: passes an image, at least 1; all of them are used where a start was found.
        initial_samples: random changes of the first round, at least 1; round t takes sqrt(t) times
            as many.
        tries: random images at most until one is misread, at least 1.

    Raises:
        InvalidOption: queries, initial_samples or tries is not positive.

    Source: Chen et al. 2020, https://arxiv.org/abs/1904.02144, algorithm 2.
    """
    if queries < 1 or initial_samples < 1 or tries < 1:
        raise InvalidOption(
            f"hopskipjump needs queries >= 1, initial_samples >= 1 and tries >= 1; "
            f"it got queries={queries}, initial_samples={initial_samples}, tries={tries}"
        )
    pixels = images[0].numel()
    # As exact as the paper's theta, which is in the unit of the change.
    tolerance = max(_FINEST, {"L2": pixels**-1.5, "Linf": pixels**-2.0}[threat.norm])
    blend = {"L2": straight, "Linf": clipped}[threat.norm]
    # What a step and a bisection may take after the samples of a round.
    reserve = 4 + math.ceil(-math.log2(tolerance))

    quota = Quota.of(Batch.of(model, images, labels, targets, draws), queries)
    near, found = start(quota, threat, blend, tries, queries // 50)
    quota, near = quota.keep(found), near[found]
    result = images.clone()
    least = torch.full((len(images),), torch.inf, dtype=images.dtype, device=images.device)
    for turn in range(queries):
        if not len(near):
            break
        near = nearer(quota, near, blend, tolerance)
        distance = threat.distance(quota.batch.images, near).to(images.dtype)
        closer = distance < least[quota.batch.places]
        places = quota.batch.places[closer]
        result[places], least[places] = near[closer], distance[closer]

        some = quota.left > 0
        quota, near, distance = quota.keep(some), near[some], distance[some]
        if not len(near):
            break
        planned = int(initial_samples * math.sqrt(turn + 1))
        room = quota.left - reserve
        # A last round that would be less than half of one is added to the one before.
        samples = torch.where(room < 1.5 * planned, room, planned).clamp_min(1)
        normal = _normal(quota, near, distance / pixels, samples, turn)
        near = _stepped(quota, near, threat.steepest(normal), distance / math.sqrt(turn + 1))
    return result


def _stepped(quota: Quota, near: Images, direction: Images, size: PerImage) -> Images:
    """A step from the boundary, halved until it ends on the misread side; none where it never does.

    Source: section IV-B of the paper, "geometric progression".
    """
    far = near.clone()
    out = torch.ones_like(size, dtype=torch.bool)
    for halved in range(_HALVINGS):
        rows = (out & (quota.left > 0)).nonzero()[:, 0]
        if not len(rows):
            break
        reach = (size[rows] / 2**halved)[:, None, None, None]
        attempts = torch.addcmul(near[rows], direction[rows], reach).clamp_(0, 1)
        misread = quota.misread(attempts, rows)
        far[rows[misread]] = attempts[misread]
        out[rows[misread]] = False
    return far


def _normal(quota: Quota, near: Images, size: PerImage, samples: Labels, turn: int) -> Images:
    """Towards the misread side: the covariance of small random changes and what they are read as.

    Args:
        quota: the rows; each has as many queries left as samples.
        near: images at the boundary.
        size: the Euclidean length of a change.
        samples: random changes for each row.
        turn: of the rounds, for the chance.

    Source: equation 16 of the paper.
    """
    flat = near.flatten(1)
    pixels, most = flat.shape[1], int(samples.max())
    limit = max(1, min(_AT_ONCE, _PIXELS_AT_ONCE // pixels))
    # No more changes than pixels can be orthogonal, so every block of them has its own signs.
    block = min(_power_of_2(most), _power_of_2(pixels), 1 << (limit.bit_length() - 1))
    pattern = _hadamard(block, flat)
    # With their votes as weights, then all with the weight 1.
    sums = flat.new_zeros(len(flat), 2, pixels)
    total = torch.zeros_like(size)
    for first in range(0, most, block):
        count = min(block, most - first)
        tile = pattern[:count].repeat(1, -(-pixels // block))[:, :pixels]
        signs = quota.batch.draws.step((turn, first)).signs(flat)
        signs *= size[:, None] / math.sqrt(pixels)
        asked = torch.arange(first, first + count, device=flat.device) < samples[:, None]
        for rows in torch.arange(len(flat), device=flat.device).split(max(1, limit // count)):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            attempts = torch.addcmul(flat[part, None], tile, signs[part, None]).clamp_(0, 1)
            votes = _votes(quota, attempts.unflatten(2, near.shape[1:]), asked[part], rows)
            weights = torch.stack([votes, asked[part].to(flat.dtype)], dim=1)
            sums[part] += weights @ attempts.sub_(flat[part, None])
            total[part] += votes.sum(1)
    weighted, plain = sums.unbind(1)
    mean = (total / samples)[:, None]
    # Where all are read alike, their mean alone points to or away from that side.
    return torch.where(mean.abs() < 1, weighted - mean * plain, weighted).view_as(near)


def _votes(
    quota: Quota,
    attempts: Float[Tensor, "n m c h w"],
    asked: Bool[Tensor, "n m"],
    rows: Int64[Tensor, " n"],
) -> Float[Tensor, "n m"]:
    """1 for each attempt at these rows that is misread, -1 for one that is not, 0 if not asked."""
    votes = torch.zeros_like(asked, dtype=attempts.dtype)
    if not asked.any():
        return votes
    places = rows[:, None].expand_as(asked)
    # A mask copies: only where a row has fewer samples than the others.
    tried = attempts.flatten(0, 1) if asked.all() else attempts[asked]
    misread = quota.misread(tried, places[asked])
    votes[asked] = misread.to(attempts.dtype) * 2 - 1
    return votes


def _power_of_2(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _hadamard(order: int, like: Tensor) -> Float[Tensor, "order order"]:
    """Sylvester's matrix of 1 and -1: its rows are orthogonal."""
    matrix = like.new_ones(1, 1)
    while len(matrix) < order:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix
