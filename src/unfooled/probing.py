"""Facts about one network that a study's attacks do not give: probes that fail for other reasons.

An attack that follows the gradient fails where the gradient is zero, wrong or lost in rounding. A
random search, a search by scores, images crafted on another network and a climb on other numbers
fail elsewhere. No probe is trusted: the judge reads what each one returned. What raises is noted in
words, so that a network that cannot be examined is told, not left out.

Source: Carlini et al. 2019, https://arxiv.org/abs/1902.06705, section 5, and the indicators of
Pintor et al. 2022, https://arxiv.org/abs/2106.09947.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from unfooled import attack, doctor, evaluation, memory
from unfooled.attack import Attack
from unfooled.dataset import Split
from unfooled.errors import InvalidData, InvalidThreat, brief
from unfooled.evaluation import UNREAD, read
from unfooled.finding import ROUNDING, Finding
from unfooled.gradients import forward, frozen, gradient, predict
from unfooled.losses import margin
from unfooled.obfuscated import eot
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


@dataclass(frozen=True)
class Probed:
    """What the probes came to, image by image.

    Attributes:
        norm, eps: the threat of the probes.
        ids, labels: of the images, `[n]`.
        names: of the probes, in the order of `PROBES`.
        read_as: what the judge reads in what each probe returned, `[probes, n]`.
        inside: whether that lies within the threat, `[probes, n]`.
        errors: for each probe, what kept it from running; "" where it ran.
        anywhere: what the judge reads after an attack within `ANYWHERE`, `[n]`.
        astray: what kept that attack from running; "" where it ran.
        grey: what is read in the image that is 0.5 everywhere; `UNREAD` where nothing is.
        clean: what is read without attack, asked several times, `[times, n]`.
        repeated: how far an image's answers lie apart when it is asked again, as a share of the
            largest logit, `[n]`; infinite where it cannot be said.
        watched: the same, of the answer that is given while a gradient is asked for, `[n]`.
        steady: the cosine of an image's gradient and that a small random step away, `[n]`; NaN
            where there is none.
        findings: the doctor's.
    """

    norm: str
    eps: float
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    read_as: NDArray[np.int64]
    inside: NDArray[np.bool_]
    errors: tuple[str, ...]
    anywhere: NDArray[np.int64]
    astray: str
    grey: int
    clean: NDArray[np.int64]
    repeated: NDArray[np.float64]
    watched: NDArray[np.float64]
    steady: NDArray[np.float64]
    findings: tuple[Finding, ...]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each image is read correctly without attack, when first asked, `[n]`."""
        return np.asarray(np.equal(self.clean[0], self.labels))

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Whether each probe returned a misread image within the threat, `[probes, n]`."""
        return np.asarray(np.not_equal(self.read_as, self.labels) & self.inside)

    @property
    def stuck(self) -> NDArray[np.bool_]:
        """Whether each image stands within `ANYWHERE`, where grey is misread, `[n]`.

        Those whose own class is read in grey are left out: nothing says that they must fall.
        """
        stands = self.correct & (self.anywhere == self.labels)
        return np.asarray(stands & (self.labels != self.grey))

    def ran(self, name: str) -> bool:
        """Whether there is such a probe, and nothing kept it from running."""
        return name in self.names and not self.errors[self.names.index(name)]

    def error(self, *names: str) -> str:
        """What kept the first of these probes from running, as the end of a sentence."""
        return self.errors[self.names.index(names[0])].rstrip(".")

    def fooled_by(self, *names: str) -> NDArray[np.bool_]:
        """Whether one of these probes fooled each image, `[n]`; what did not run fooled none."""
        rows = [self.names.index(name) for name in names if self.ran(name)]
        return np.asarray(self.fooled[rows].any(axis=0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a file."""
        plain = {name: np.asarray(v) for name, v in vars(self).items() if name != "findings"}
        plain["checks"] = np.array([[f.check, f.verdict, f.sentence] for f in self.findings])
        values = [np.nan if f.value is None else f.value for f in self.findings]
        return {**plain, "values": np.array(values, dtype=np.float64)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Probed":
        """The inverse of `arrays`.

        Raises:
            InvalidData: another version of unfooled wrote them.
        """
        other = {field.name for field in fields(cls)} - {"findings"} - set(arrays)
        if other:
            raise InvalidData(
                f"the probes were made by another version of unfooled, without {min(other)}; the "
                "same command makes them anew"
            )
        findings = tuple(
            Finding(check, verdict, sentence, None if np.isnan(value) else float(value))
            for (check, verdict, sentence), value in zip(
                arrays["checks"].tolist(), arrays["values"], strict=True
            )
        )
        own = {name: a for name, a in arrays.items() if name not in ("checks", "values")}
        own |= {name: tuple(arrays[name].tolist()) for name in ("names", "errors")}  # type: ignore[misc]
        own |= {name: arrays[name].item() for name in ("norm", "eps", "astray", "grey")}
        return cls(**own, findings=findings)  # type: ignore[arg-type]


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
        return _probed(network, split, ids, threat, surrogates, classes, draws)


def _probed(
    network: nn.Module,
    split: Split,
    ids: Labels,
    threat: Threat,
    surrogates: Sequence[nn.Module],
    classes: int,
    draws: Draws,
) -> Probed:
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
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
