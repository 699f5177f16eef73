"""What the page can ask: what networks read of an image, attacked or painted on, and what is sure.

Nothing is attacked here by code of its own: `attack.find` attacks, `evaluation.read` reads, and an
image outside the threat counts as not fooled.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import torch
from torch import nn

from unfooled import bounds, evaluation
from unfooled.attack import Attack, Attacked
from unfooled.dataset import Dataset
from unfooled.errors import JobFailed
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Logits
from unfooled.threat import Threat
from unfooled.victim import Passes

NORM = "Linf"
_STEPS = 100  # of an attack that takes many eps at once, up to the largest
_HALVINGS = 7  # of the others: down to the largest eps / 128
# Certificates are looked for among the largest eps times these, as a bound takes half a second.
_SHARES: tuple[float, ...] = tuple(2.0 ** (step / 4 - 7) for step in range(29))


@dataclass(frozen=True)
class Player:
    """A network on the page.

    Attributes:
        name: short and unique.
        title: as the page calls it.
        control: "positive", "sham" or "".
        note: how it was made, in words.
        network: in eval mode, on its device.
        proven: a copy of it that another thread may ask for bounds meanwhile; None where `bounds`
            does not know its layers, or takes too long for a page.
    """

    name: str
    title: str
    control: str
    note: str
    network: nn.Module = field(repr=False)
    proven: nn.Module | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Game:
    """All that a page is about.

    Attributes:
        title: of the page.
        words: one or two sentences on where the networks come from.
        data: whose test images can be picked.
        players: the first is what the others are compared with.
        attacks: that can be chosen; every network can be attacked by each.
        eps_max: the largest eps, in pixel units.
        drawable: whether drawing such an image by hand makes sense.
        box: the longer side in pixels that the ink of a test image usually has.
    """

    title: str
    words: str
    data: Dataset
    players: tuple[Player, ...]
    attacks: tuple[Attack, ...]
    eps_max: float
    drawable: bool
    box: int

    @property
    def pixels(self) -> int:
        """Numbers that an image has."""
        return self.data.channels * self.data.size**2


@dataclass(frozen=True)
class Asked:
    """One question about an image.

    Attributes:
        image: `[1, c, h, w]`.
        label: its class; None takes what most networks read, and for certificates what each does.
        attack: of those of the game; None for none.
        target: the class that is wanted; None for any wrong one.
        eps: in pixel units.
        painted: a change by hand, `[1, c, h, w]`, kept inside eps; no attack is made then.
    """

    image: Images
    label: int | None = None
    attack: Attack | None = None
    target: int | None = None
    eps: float = 0.0
    painted: Images | None = None


@dataclass
class Watch:
    """How far a question has got, for whoever waits for the answer; and a way to give it up.

    Attributes:
        name: of the network that is attacked now.
        passes: what its attack has taken so far, while it is under way.
        found: of the networks that are through, where that is known before the whole answer.
        stopped: set by whoever no longer waits.
        until: the monotonic time at which it is given up.
    """

    name: str = ""
    passes: Passes | None = None
    found: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False
    until: float = math.inf

    def check(self) -> None:
        """Between two steps of the work.

        Raises:
            JobFailed: nobody waits any more, or it took too long.
        """
        if self.stopped:
            raise JobFailed("nobody waits for the answer any more")
        if time.monotonic() > self.until:
            raise JobFailed("it took too long and was given up; a smaller network would do")


def about(game: Game) -> dict[str, Any]:
    """What the page must know before it asks anything."""
    data = game.data
    return {
        "title": game.title,
        "words": game.words,
        "dataset": data.title,
        "classes": list(data.classes),
        "channels": data.channels,
        "size": data.size,
        "drawable": game.drawable,
        "box": game.box,
        "norm": NORM,
        "eps_max": game.eps_max,
        "recipes": [
            {"name": one.name, "title": one.title, "control": one.control, "note": one.note}
            for one in game.players
        ],
        "attacks": [
            {"name": one.name, "title": _title(one), "knows": one.knows, "targeted": True}
            for one in game.attacks
        ],
        "samples": len(data.test),
        "certificates": any(one.proven is not None for one in game.players),
    }


def _title(attack: Attack) -> str:
    """Such as "Square-500", which says how many queries it may take."""
    queries = attack.all_options.get("queries")
    title = attack.title[:1].upper() + attack.title[1:]
    return title if queries is None else f"{title}-{queries}"


def sample(game: Game, place: int) -> dict[str, Any]:
    """A test image and its label."""
    which = torch.tensor([place])
    image = game.data.test.pixels(which)
    return {"image": image.flatten().tolist(), "label": int(game.data.test.labels[place])}


def craft(game: Game, asked: Asked, watch: Watch) -> list[dict[str, Any]]:
    """What each network reads before and after, and the changed image.

    Raises:
        InvalidModel, JobFailed: an attack ended without a result.
    """
    asked = _meant(game, asked)
    return [_crafted(one, asked, watch) for one in _players(game, watch)]


def _meant(game: Game, asked: Asked) -> Asked:
    """The same with a label: of what nobody named, what most networks read without attack.

    Of several that are read as often, the first; none where no network reads anything.
    """
    reads = [_read(predict(one.network, asked.image)) for one in game.players]
    known = [read for read in reads if read != evaluation.UNREAD]
    if asked.label is not None or not known:
        return asked
    return replace(asked, label=max(known, key=known.count))


def _players(game: Game, watch: Watch) -> Iterator[Player]:
    for player in game.players:
        watch.check()
        watch.name, watch.passes = player.name, None
        yield player


def _crafted(player: Player, asked: Asked, watch: Watch) -> dict[str, Any]:
    clean = predict(player.network, asked.image)
    clean_read, label = _read(clean), _label(clean, asked)
    threat, queries = Threat(NORM, asked.eps), None
    changed = asked.image
    if asked.painted is not None:
        changed = threat.project(asked.image, asked.image + asked.painted)
    elif asked.attack is not None and _can_be_fooled(asked, label):
        armed = _watched(asked.attack, watch)
        (found,) = _swept(armed, player.network, asked, label, [threat])
        changed = found.images
        queries = int(found.passes.forward[0]) if asked.attack.knows != "gradients" else None
    logits = predict(player.network, changed)
    read = _read(logits)
    allowed = bool(threat.allows(asked.image, changed)[0])
    return {
        "name": player.name,
        "read": read,
        "probabilities": _probabilities(logits),
        "clean_read": clean_read,
        "clean_probabilities": _probabilities(clean),
        "image": changed.flatten().tolist(),
        "fooled": allowed and _wanted(asked, label, read),
        "queries": queries,
    }


def smallest(game: Game, asked: Asked, watch: Watch) -> list[dict[str, Any]]:
    """The smallest eps at which the attack was seen to fool each network; None up to the largest.

    An attack that takes many eps at once is asked for a hundred, since the eps that fool need not
    hang together: one step can overshoot. For the others the interval is halved seven times.

    Raises:
        InvalidModel, JobFailed: an attack ended without a result.
    """
    asked = _meant(game, asked)
    return [
        {"name": player.name, "eps": _smallest(player, asked, game.eps_max, watch)}
        for player in _players(game, watch)
    ]


def _smallest(player: Player, asked: Asked, most: float, watch: Watch) -> float | None:
    clean = predict(player.network, asked.image)
    label = _label(clean, asked)
    attack = asked.attack
    if attack is None:
        return None
    if _wanted(asked, label, _read(clean)):
        return 0.0
    if not _can_be_fooled(asked, label):
        return None

    def fool(many: Sequence[float]) -> list[bool]:
        watch.check()
        threats = [Threat(NORM, eps) for eps in many]
        found = _swept(attack, player.network, asked, label, threats)
        reads = evaluation.read(predict(player.network, torch.cat([one.images for one in found])))
        return [
            _wanted(asked, label, int(read)) and bool(threat.allows(asked.image, one.images)[0])
            for read, threat, one in zip(reads, threats, found, strict=True)
        ]

    if attack.sweeper is not None:
        grid = [most * step / _STEPS for step in range(1, _STEPS + 1)]
        return next((eps for eps, done in zip(grid, fool(grid), strict=True) if done), None)
    if not fool([most])[0]:
        return None
    stood, fell = 0.0, most
    for _ in range(_HALVINGS):
        middle = (stood + fell) / 2
        stood, fell = (stood, middle) if fool([middle])[0] else (middle, fell)
    return fell


def certified(game: Game, asked: Asked, watch: Watch) -> list[dict[str, Any]]:
    """An eps within which each network is shown to read the label, whatever is done to the image.

    0 where it is shown for none that was tried. A network without bounds is left out.
    """
    for player in _players(game, watch):
        if player.proven is not None:
            eps = _certified(player.proven, asked, game.eps_max, watch)
            watch.found.append({"name": player.name, "eps": eps})
    return list(watch.found)


def _certified(network: nn.Module, asked: Asked, most: float, watch: Watch) -> float:
    label = _label(predict(network, asked.image), asked)
    if label == evaluation.UNREAD:
        return 0.0
    labels = torch.tensor([label], device=asked.image.device)
    tried = [0.0, *(most * share for share in _SHARES)]
    stands, open_ = 0, len(tried)  # places: nothing at all is shown at 0
    while open_ - stands > 1:
        watch.check()
        middle = (stands + open_) // 2
        shown = bounds.certified(network, asked.image, labels, Threat(NORM, tried[middle]))
        stands, open_ = (middle, open_) if bool(shown[0]) else (stands, middle)
    return tried[stands]


def _swept(
    attack: Attack, network: nn.Module, asked: Asked, label: int, threats: Sequence[Threat]
) -> list[Attacked]:
    device = asked.image.device
    return attack.sweep(
        network,
        asked.image,
        torch.tensor([label], device=device),
        threats,
        draws=Draws(0, f"demo/{attack.name}"),
        targets=None if asked.target is None else torch.tensor([asked.target], device=device),
    )


def _watched(attack: Attack, watch: Watch) -> Attack:
    """The same attack, whose passes can be looked at while it is under way."""

    @wraps(attack.function)
    def function(model: nn.Module, *given: Any, **options: Any) -> Images:
        watch.passes = getattr(model, "passes", None)
        return attack.function(model, *given, **options)

    return replace(attack, function=function)


def _label(clean: Logits, asked: Asked) -> int:
    return _read(clean) if asked.label is None else asked.label


def _can_be_fooled(asked: Asked, label: int) -> bool:
    """Not where nothing is read, and not towards the class that it belongs to."""
    return label not in (evaluation.UNREAD, asked.target)


def _wanted(asked: Asked, label: int, read: int) -> bool:
    """Whether this reading is what the attacker wants, as the judge has it; nothing always is."""
    if asked.target is None:
        return read != label or read == evaluation.UNREAD
    return label != asked.target and read in (asked.target, evaluation.UNREAD)


def _read(logits: Logits) -> int:
    return int(evaluation.read(logits)[0])


def _probabilities(logits: Logits) -> list[float]:
    """All 0 where the network answers with what is no number."""
    found: list[float] = logits.softmax(1).nan_to_num()[0].tolist()
    return found
