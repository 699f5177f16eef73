"""Facts about one network that a study's attacks do not give: probes that fail for other reasons.

An attack that follows the gradient fails where the gradient is zero, wrong or lost in rounding. A
random search, a search by scores, images crafted on another network and a climb on other numbers
fail elsewhere. No probe is trusted: the judge reads what each one returned. What raises is noted in
words, so that a network that cannot be examined is told, not left out.

Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5, and the indicators of
Pintor et al. 2022, https://arxiv.org/abs/2106.09947.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from unfooled import attack, doctor, evaluation, memory
from unfooled.attack import Attack
from unfooled.dataset import Split
from unfooled.errors import InvalidThreat, brief
from unfooled.evaluation import UNREAD, read
from unfooled.finding import ROUNDING
from unfooled.gradients import forward, frozen, gradient, home, predict
from unfooled.losses import margin
from unfooled.obfuscated import eot
from unfooled.probed import Probed
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage
from unfooled.threat import Threat
from unfooled.victim import Batch

ANYWHERE = Threat("Linf", 0.5)  # every image can become grey, and so every other one
AVERAGED = 10  # answers of a random network, the mean of whose gradients is followed
_GUESSES = 20  # random points and corners
_AGAIN = 5  # times that the unattacked images are read
_SHIFT = 10.0  # added to every logit, which changes no probability
COST = 1200  # passes of an image that stands to the end, about


def probed(
    network: nn.Module,
    split: Split,
    ids: Labels,
    threat: Threat,
    surrogates: Sequence[nn.Module],
    classes: int,
    *,
    draws: Draws,
) -> Probed:
    """What the probes find on images of a split; nothing that the network does raises.

    Where memory ends the images are attacked fewer at once; the doctor's questions are not halved.

    Args:
        network: as it is judged; it is left as it was.
        ids: positions of the images in the split.
        threat: that under which the question is answered.
        surrogates: networks of other recipes, to craft on; may be none.
        classes: of the data.
        draws: the chance of the probes; numbered by `ids` here.

    Raises:
        OutOfMemory: memory has no room for it.
    """
    with memory.needed(f"examining a network on {len(ids)} images", "fewer images"):
        device = home(network)
        images, labels = split.pixels(ids).to(device), split.labels[ids].to(device)
        own = draws.at(ids)
        findings = doctor.examine(network, images, labels, classes)
        clean, repeated = _repeated(network, images)
        case = _Case(network, images, labels, surrogates, bool((repeated > ROUNDING).any()))
        found = {name: _tried(case, make, threat, own.step(name)) for name, make in PROBES.items()}
        far = _tried(case, _everywhere, ANYWHERE, own.step("anywhere"))
        return Probed(
            norm=threat.norm,
            eps=threat.eps,
            ids=ids.numpy(),
            labels=labels.cpu().numpy(),
            names=tuple(found),
            read_as=np.stack([one.read_as for one in found.values()]),
            inside=np.stack([one.inside for one in found.values()]),
            errors=tuple(one.error for one in found.values()),
            anywhere=far.read_as,
            astray=far.error,
            grey=_grey(network, images),
            clean=clean,
            repeated=repeated,
            watched=_watched(network, images),
            steady=_steady(case, threat, own.step("steady")),
            findings=tuple(findings),
        )


@dataclass(frozen=True)
class _Case:
    """A network under examination, and what may be crafted on."""

    network: nn.Module
    images: Images
    labels: Labels
    surrogates: Sequence[nn.Module]
    random: bool


@dataclass(frozen=True)
class _Outcome:
    """What the judge says to one probe."""

    read_as: NDArray[np.int64]
    inside: NDArray[np.bool_]
    error: str


def _tried(case: _Case, make: Callable[[_Case], Attack], threat: Threat, draws: Draws) -> _Outcome:
    labels = case.labels.cpu().numpy()
    try:
        given = (case.network, case.images, case.labels, make(case), [threat])
        found = evaluation.evaluate(*given, draws=draws)
    except Exception as error:  # whatever a user's network raises
        if memory.exhausted(error):
            raise
        return _Outcome(labels, np.zeros(len(labels), dtype=bool), brief(error))
    return _Outcome(found.read_as[0], found.inside[0], "")


def _repeated(network: nn.Module, images: Images) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What is read several times, and how far the answers lie apart."""
    try:
        answers = [predict(network, images) for _ in range(_AGAIN)]
    except Exception as error:  # the doctor says what it was
        if memory.exhausted(error):
            raise
        return np.full((_AGAIN, len(images)), UNREAD), np.full(len(images), np.inf)
    apart = torch.stack([_apart(answers[0], other) for other in answers[1:]]).amax(0)
    return np.stack([read(one) for one in answers]), apart.double().cpu().numpy()


def _grey(network: nn.Module, images: Images) -> int:
    """What is read in the image that every other one can become within `ANYWHERE`."""
    try:
        return int(read(predict(network, torch.full_like(images[:1], ANYWHERE.eps)))[0])
    except Exception as error:  # the doctor says what it was
        if memory.exhausted(error):
            raise
        return UNREAD


def _watched(network: nn.Module, images: Images) -> NDArray[np.float64]:
    """How far the answers that are given while a gradient is asked for lie from the others."""
    try:
        with frozen(network):
            with torch.no_grad():
                unseen = forward(network, images.clone())
            with torch.enable_grad():
                seen = forward(network, images.clone().requires_grad_()).detach()
    except Exception as error:  # the doctor says what it was
        if memory.exhausted(error):
            raise
        return np.full(len(images), np.inf)
    return _apart(unseen, seen).double().cpu().numpy()


def _steady(case: _Case, threat: Threat, draws: Draws) -> NDArray[np.float64]:
    """Whether the gradient still points the same way a tenth of eps away."""
    near = Threat(threat.norm, threat.eps / 10)
    try:
        with frozen(case.network):
            moved = near.random_edge(case.images, draws)
            here, there = (
                gradient(case.network, images, case.labels, None, margin)[2].flatten(1)
                for images in (case.images, moved)
            )
    except Exception as error:  # there is none, or it is not a number: the doctor says so
        if memory.exhausted(error):
            raise
        return np.full(len(case.images), np.nan)
    alike = F.cosine_similarity(here, there).double()
    gone = ~(here.any(1) & there.any(1))
    return alike.masked_fill(gone, torch.nan).cpu().numpy()


def _apart(one: Logits, other: Logits) -> PerImage:
    """As a share of the largest logit; infinite for what is not a number."""
    size = one.abs().amax(1).clamp_min(1e-12)
    far: PerImage = ((one - other).abs().amax(1) / size).nan_to_num(torch.inf, torch.inf)
    return far


def _guessed(case: _Case) -> Attack:  # noqa: ARG001 - as every probe
    return Attack("random points and corners", _guess, "bounded", "scores")


def _guess(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> Images:
    """The first misread one of random points of the ball and of its edge, in turn."""
    left, result = Batch.of(model, images, labels, targets, draws), images.clone()
    for guess in range(_GUESSES):
        draw = threat.random_start if guess % 2 else threat.random_edge
        current = draw(left.images, left.draws.step(guess))
        result[left.places] = current
        left = left.keep(~left.fooled(current))
        if not len(left):
            break
    return result


def _square(case: _Case) -> Attack:  # noqa: ARG001
    return attack.find("square", queries=500)


def _margin(case: _Case) -> Attack:  # noqa: ARG001
    return attack.find("apgd", loss="dlr", steps=100, restarts=2)


def _as_is(case: _Case) -> Attack:  # noqa: ARG001
    return attack.find("pgd", steps=20)


def _rescaled(case: _Case) -> Attack:
    logits = predict(case.network, case.images)
    spread = float(logits.std(1).mean())
    changed = _Changed(case.network, 1 / max(spread, 1e-30), 0.0)
    return _crafted(case, "PGD on rescaled logits", changed)


def _shifted(case: _Case) -> Attack:
    return _crafted(case, "PGD on shifted logits", _Changed(case.network, 1.0, _SHIFT))


def _averaged(case: _Case) -> Attack:
    if not case.random:
        raise InvalidThreat("the network is not random")
    return _crafted(case, "PGD on the mean of several answers", eot(case.network, AVERAGED))


def _transfer(case: _Case) -> Attack:
    return attack.find("transfer", surrogates=case.surrogates)


def _differences(case: _Case) -> Attack:  # noqa: ARG001
    return attack.find("spsa", steps=20, samples=16)


def _everywhere(case: _Case) -> Attack:  # noqa: ARG001
    return attack.find("apgd", steps=40)


PROBES: dict[str, Callable[[_Case], Attack]] = {
    "random": _guessed,
    "square": _square,
    "margin": _margin,
    "as is": _as_is,
    "rescaled": _rescaled,
    "shifted": _shifted,
    "averaged": _averaged,
    "transfer": _transfer,
    "differences": _differences,
}


def _crafted(case: _Case, name: str, changed: nn.Module) -> Attack:
    """PGD that follows another network's gradient; what it made is tried on the one in question."""
    inner = _as_is(case)

    def craft(
        model: nn.Module,  # noqa: ARG001 - the same signature as every attack
        images: Images,
        labels: Labels,
        threat: Threat,
        *,
        draws: Draws,
        targets: Labels | None = None,
    ) -> Images:
        return inner.run(changed, images, labels, threat, draws=draws, targets=targets)

    return replace(inner, name=name, function=craft, options={})


class _Changed(nn.Module):
    """A model whose logits are multiplied and shifted, which changes no answer."""

    def __init__(self, model: nn.Module, factor: float, offset: float) -> None:
        super().__init__()
        self.model, self.factor, self.offset = model, factor, offset

    def forward(self, images: Images) -> Logits:
        logits: Logits = self.model(images) * self.factor + self.offset
        return logits
