"""An evaluation: networks that are there already as a study, which trains nothing.

It is run, kept and told as every other study is.
"""

import math
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unfooled import attack, bounds, loading, model, provenance, report, run
from unfooled.borders import check_input
from unfooled.dataset import Dataset, Split, assemble
from unfooled.errors import (
    InvalidInput,
    InvalidModel,
    InvalidOption,
    InvalidThreat,
    JobFailed,
    UnfooledError,
    brief,
)
from unfooled.gradients import forward, frozen, home
from unfooled.recipe import Given, Recipe
from unfooled.report import Report
from unfooled.shapes import Images, Labels
from unfooled.study import Certificates, Study, Sweep
from unfooled.threat import Threat

_MARGIN = 0.02  # the largest difference that nobody would care about
_STEPS = 4  # from no attack to the largest eps, where an attack is quick
_STRONG = ("autoattack", "fmn", "spatial")  # the first that has the norm is the usual attack
_WIDEST = 8192  # numbers in a layer; the time of linear bounds grows with their square
_SCORES = "square"  # the usual one where there is no gradient


@dataclass(frozen=True)
class Order:
    """What networks are asked.

    Attributes:
        norm: of every threat.
        eps: ascending, above 0; the last is the one at which the question is answered.
        attacks: names with options; empty takes the usual one for the norm.
        n: test images, at least 1; all where there are fewer.

    Raises:
        InvalidThreat: there is no such norm, or no such eps.
        InvalidInput: n is below 1.
        InvalidOption: an attack comes twice.
    """

    norm: str = "Linf"
    eps: tuple[float, ...] = (0.1,)
    attacks: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    n: int = 1000

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InvalidInput(f"the number of images must be at least 1; it is {self.n}")
        for eps in self.eps:
            threat = Threat(self.norm, eps)
            threat.bounded()
            threat.meant()
        if not self.eps or min(self.eps) <= 0 or list(self.eps) != sorted(set(self.eps)):
            found = ", ".join(f"{eps:g}" for eps in self.eps) or "none"
            raise InvalidThreat(
                f"an evaluation needs eps above 0, each once, ascending; got {found}"
            )
        names = [name for name, _ in self.attacks]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise InvalidOption(f"the attack {twice[0]} comes twice; name each attack once")


@dataclass(frozen=True)
class Entry:
    """A network in an evaluation.

    Attributes:
        title: as reports call it.
        given: what it was loaded by.
        network: itself.
        knows: what can be had of it, see `loading.Loaded`.
    """

    title: str
    given: Given
    network: nn.Module = field(repr=False)
    knows: str = "gradients"


def study(
    entries: Sequence[Entry],
    data: Dataset,
    order: Order,
    options: Mapping[str, Any] | None = None,
) -> tuple[Study, str]:
    """The study that asks networks that are there already, and a note on what it leaves out.

    The others are compared with the first.

    Args:
        entries: titles differ.
        data: whose test images they are asked about.
        order: what is asked.
        options: of the data.

    Raises:
        UnknownName, InvalidOption: there is no such attack, or it has no such option.
        InvalidThreat: an attack cannot work under such threats.
        InvalidModel: an attack crafts on other networks, and there is only one.
    """
    titles = [one.title for one in entries]
    names = [re.sub(r"[^\w.-]+", "-", title).strip("-.") or "network" for title in titles]
    question = (
        f"How hard is {titles[0]} to fool?"
        if len(titles) == 1
        else "Which of these networks is the hardest to fool?"
    )
    note = _uncertified(entries, data, order)
    found = Study(
        name="-".join(names)[:80],
        question=question,
        dataset=data.name,
        model="",
        seeds=1,
        answer_eps=order.eps[-1],
        margin=_MARGIN,
        recipes=tuple(
            Recipe(f"{name}.{place}" if names.count(name) > 1 else name, one.title, given=one.given)
            for place, (name, one) in enumerate(zip(names, entries, strict=True))
        ),
        sweeps=tuple(_sweeps(entries, order)),
        certificates=None if note else Certificates(order.eps, order.n, norm=order.norm),
        dataset_options=options or {},
        keeps_images=True,
    )
    return found, note


def _sweeps(entries: Sequence[Entry], order: Order) -> list[Sweep]:
    """First quick attacks over many eps, then those that were asked for, and chance."""
    knows = "gradients" if all(one.knows == "gradients" for one in entries) else "scores"
    asked = list(order.attacks) or [(_usual(order.norm, knows), {})]
    steps = [round(order.eps[-1] * step / _STEPS, 10) for step in range(_STEPS)]
    near = [any(math.isclose(one, eps, rel_tol=1e-6) for eps in order.eps) for one in steps]
    fine = {one for one, close in zip(steps, near, strict=True) if not close} | set(order.eps)
    quick = ["fgsm", "pgd"] if knows == "gradients" else []
    found = []
    for name in (*quick, "noise"):
        if order.norm in attack.find(name).norms and name not in [one for one, _ in asked]:
            found.append(Sweep(name, {}, order.norm, tuple(sorted(fine)), order.n))
    for name, options in asked:
        attack.find(name, **options).takes(Threat(order.norm, order.eps[-1]))
        eps = tuple(sorted(fine)) if name in quick else (0.0, *order.eps)
        found.append(Sweep(name, options, order.norm, eps, order.n))
        if found[-1].uses_surrogates and len(entries) == 1:
            raise InvalidModel(
                f"{name} crafts on the other networks of an evaluation, and there is only one; "
                "name another beside it"
            )
    # The pictures are of the first.
    return sorted(found, key=lambda sweep: sweep.attack == "noise")


def _usual(norm: str, knows: str) -> str:
    if knows != "gradients":
        return _SCORES
    return next((name for name in _STRONG if norm in attack.find(name).norms), "pgd")


def _uncertified(entries: Sequence[Entry], data: Dataset, order: Order) -> str:
    """Why there are no certificates, in a sentence; "" where there are."""
    few = data.test.sample(1)
    shape = {"channels": data.channels, "size": data.size}
    for one in entries:
        if one.knows != "gradients":
            return f"No certificates: {one.title} gives no gradient, which finds what falls"
        try:
            wide = max(math.prod(layer.output) for layer in model.layers(one.network, **shape))
            if wide > _WIDEST:
                return (
                    f"No certificates: the widest layer of {one.title} passes on {wide:,} numbers, "
                    f"and bounds are for up to {_WIDEST:,}"
                )
            pixels, labels = data.test.pixels(few), data.test.labels[few]
            bounds.certified(one.network, pixels, labels, Threat(order.norm, order.eps[0]))
        except (InvalidModel, InvalidThreat) as error:
            return f"No certificates: {one.title}: {error}"
        except Exception as error:  # whatever a user's network makes of hooks
            return f"No certificates: {one.title}: {brief(error)}"
    return ""


def entry(which: str, data: Dataset, **told: Any) -> Entry:
    """A network by words, as `loading.load` takes and refuses them with what else is told."""
    loaded = loading.load(
        which, channels=data.channels, size=data.size, classes=len(data.classes), **told
    )
    weights = told.get("weights")
    given = loading.given(which, str(weights or ""), told.get("mean"), told.get("std"))
    return Entry(which, given, loaded.network, loaded.knows)


def titled(entries: Sequence[Entry]) -> list[Entry]:
    """The same with short titles that differ: of its weights, its function, or all its words."""
    named = [one.given.which for one in entries]
    ways = [
        [w.rpartition(":")[2] if ":" in w else Path(w).stem for w in named],
        [Path(one.given.weights).stem for one in entries],
        [" ".join(filter(None, (one.given.which, one.given.weights))) for one in entries],
        [f"{which} ({place})" for place, which in enumerate(named, 1)],
    ]
    best = next(way for way in ways if len(set(way)) == len(way) and all(way))
    return [replace(one, title=title) for one, title in zip(entries, best, strict=True)]


def evaluate(
    models: nn.Module | Mapping[str, nn.Module],
    images: Images,
    labels: Labels,
    *,
    norm: str = "Linf",
    eps: float | Sequence[float] = 0.1,
    attacks: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    folder: Path | str | None = None,
) -> Report:
    """How hard one network, or each of several, is to fool: the report on it.

    It is examined first, then attacked, and certified where there are bounds for it. `publish`
    writes the report's pages.

    Args:
        models: from images in [0, 1] to logits; several with their titles. They are left as they
            were.
        images: float `[n, c, h, w]` in [0, 1], square; rounded to 8 bits, as files hold them.
        labels: int64 `[n]`.
        norm: "Linf", "L2", "L1", "L0" or "spatial".
        eps: in pixel units, one or several; the question is answered at the largest.
        attacks: one or several, such as "pgd" or "mine.py:attack"; none takes the usual one,
            AutoAttack where it has the norm.
        classes: their names; numbers if there are none.
        folder: of the run, which goes on where it was; None keeps nothing.

    Raises:
        InvalidInput: images or labels are not what they should be.
        InvalidModel: a network does not fit them, or an attack cannot work on it.
        InvalidThreat, UnknownName: there is no such norm, eps or attack.
        InvalidOption: an attack comes twice.
        JobFailed: an attack ended with an error.
    """
    check_input(images, labels)
    named = {"the network": models} if isinstance(models, nn.Module) else dict(models)
    if not named:
        raise InvalidInput("there is no network to evaluate")
    data = _data(named, images, labels, classes)
    shape = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
    entries = []
    for title, network in named.items():
        loaded = loading.handed(network, title, **shape)
        entries.append(
            Entry(title, Given("", sha256=loading.digest(network)), network, loaded.knows)
        )
    sizes = _sizes(eps)
    named_attacks = [attacks] if isinstance(attacks, str) else attacks
    asked = tuple((name, dict[str, Any]()) for name in named_attacks)
    order = Order(norm, sizes, asked, len(images))
    whole, note = study(entries, data, order)
    if folder is not None:
        return _reported(whole, Path(folder), data, entries, note)
    with tempfile.TemporaryDirectory() as name:
        return _reported(whole, Path(name), data, entries, note)


def _sizes(eps: object) -> tuple[float, ...]:
    """One number or several, ascending."""
    several = eps if isinstance(eps, Iterable) and not isinstance(eps, str) else (eps,)
    sizes = list(several)
    if not all(isinstance(one, Real) and not isinstance(one, bool) for one in sizes):
        raise InvalidThreat(f"eps must be a number such as 0.1, or several; it is {eps!r}")
    return tuple(sorted(map(float, sizes)))


def _reported(
    whole: Study,
    folder: Path,
    data: Dataset,
    entries: Sequence[Entry],
    note: str,
) -> Report:
    networks = {place: one.network for place, one in enumerate(entries)}
    failed = run.run(
        whole,
        folder,
        device=home(entries[0].network).type,  # where it is: it is left as it was
        workers=1,
        own=data,
        networks=networks,
        note=note,
        command="unfooled.evaluate(...), called by a Python program",
    )
    if failed:
        raise JobFailed("; ".join(run.reasons(failed, whole)))
    return report.gather(folder, allow=provenance.code(whole))


def _count(title: str, network: nn.Module, images: Images) -> int:
    """The logits that a network returns for an image."""
    try:
        with frozen(network), torch.no_grad():
            return forward(network, images.to(home(network))).shape[1]
    except UnfooledError:
        raise
    except Exception as error:  # whatever a user's network raises
        raise InvalidModel(
            f"{title} cannot read images {list(images.shape[1:])}: {brief(error)}"
        ) from error


def _data(
    named: Mapping[str, nn.Module], images: Images, labels: Labels, classes: Sequence[str] | None
) -> Dataset:
    """Images and labels as a data set that has nothing but them."""
    if images.shape[2] != images.shape[3]:
        raise InvalidInput(f"images must be square, not {images.shape[2]} x {images.shape[3]}")
    count = _count(*next(iter(named.items())), images[:1])
    names = tuple(map(str, range(count))) if classes is None else tuple(classes)
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= len(names):
        told = "the network's logits" if classes is None else "the names of classes"
        raise InvalidInput(
            f"labels reach from {least} to {most}, and {told} are {len(names)}; classes are "
            f"numbered 0 to {len(names) - 1}"
        )
    levels = images.detach().cpu().mul(255).round().to(torch.uint8)
    test = Split(levels, labels.cpu())
    none = test.part(0, 0)
    whole = assemble("given", "given images", names, "a Python program", test, 0, test)
    return replace(whole, train=none, validation=none)
