"""AutoAttack: four attacks that fail for different reasons, one after the other."""

from torch import nn

from unfooled.attack import Attack, find, in_turn
from unfooled.errors import InvalidOption
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

PROMISE = "bounded"
KNOWS = "gradients"
NORMS = ("Linf", "L2", "L1")
TITLE = "AutoAttack"

_TARGETS = 9  # wrong classes that are aimed at one after another; those of 10 classes
_L1_TARGETS = 5
_L1_RESTARTS = 5


def autoattack(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
    steps_each: int = 100,
    square_queries: int = 5000,
) -> Images:
    """What APGD, FAB and Square find in turn, each on the images that the others left standing.

    `apgd` climbs the cross-entropy, then the difference of logits ratio towards each of the 9
    likeliest wrong classes; `fab` goes for the nearest boundary of each of them; `square` searches
    at random without gradients. With `targets` all of them aim at these alone. Under L1, as its
    authors do, `apgd` has 5 restarts, and then aims at 5 classes; their Square attack for L1 is no
    member here, so that it is left out. A model of few classes has fewer to aim at.

    Args:
        steps_each: gradient evaluations of each ascent of `apgd` and steps of each walk of `fab`,
            at least 1.
        square_queries: forward passes of `square`, at least 1; under L1 of no effect.

    Raises:
        InvalidOption: steps_each or square_queries is not positive.
        InvalidThreat: eps is infinite.

    Source: Croce and Hein 2020, https://arxiv.org/abs/2003.01690, section 5; under L1 Croce and
    Hein 2021, https://arxiv.org/abs/2103.01208, section 5.
    """
    if steps_each < 1 or square_queries < 1:
        raise InvalidOption(
            "autoattack needs steps_each >= 1 and square_queries >= 1; "
            f"it got steps_each={steps_each}, square_queries={square_queries}"
        )
    members = _members(threat.norm, steps_each, square_queries)
    return in_turn(members, model, images, labels, threat, draws=draws, targets=targets)


def cost(*, steps_each: int, square_queries: int) -> int:
    """Passes that an image takes which stands to the end, under Linf or L2."""
    # A step of FAB goes forward twice and back once.
    return steps_each * (1 + 2 * _TARGETS) + square_queries


def _members(norm: str, steps: int, queries: int) -> list[Attack]:
    fab = find("fab", steps=steps, over_targets=_TARGETS)
    if norm == "L1":
        return [
            find("apgd", steps=steps, restarts=_L1_RESTARTS),
            find("apgd", steps=steps, loss="dlr", over_targets=_L1_TARGETS),
            fab,
        ]
    return [
        find("apgd", steps=steps),
        find("apgd", steps=steps, loss="dlr", over_targets=_TARGETS),
        fab,
        find("square", queries=queries),
    ]
