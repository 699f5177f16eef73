"""What the command line says about attacks: the ladder of all, a page on one, a table of a result.

Words alone; nothing here prints.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfooled import attack, catalog
from unfooled.attack import Attack
from unfooled.crafting import Crafted
from unfooled.statistics import Estimate, share
from unfooled.wording import percent

# From the attacker that knows most to the one that knows nothing.
KNOWS = {
    "gradients": "white box: the whole model and its gradients",
    "scores": "black box: the logits that the model answers with",
    "decisions": "black box: the class that the model answers with",
    "nothing": "never asks the model",
}
PROMISES = {
    "bounded": "the worst that it finds within eps",
    "nearest": "the nearest misread image, however far",
}
_USUAL = {"Linf": 0.1, "L2": 1.5, "L1": 10.0, "L0": 20.0, "spatial": 1.0}  # eps for the examples


@dataclass(frozen=True)
class Rung:
    """An attack as a list shows it.

    Attributes:
        name: as users write it.
        knows, promise: see `attack.py`.
        norms: those that it attacks under.
        line: the first of its docstring.
    """

    name: str
    knows: str
    promise: str
    norms: str
    line: str


def ladder() -> list[Rung]:
    """Every attack: those that know most first, then the bounded ones, then the quick ones."""
    places = list(KNOWS)
    attacks = [attack.find(name) for name in catalog.names("attacks")]
    attacks.sort(key=lambda one: (places.index(one.knows), one.promise, one.cost, one.name))
    return [
        Rung(
            name=one.name,
            knows=one.knows,
            promise=one.promise,
            norms=", ".join(one.norms),
            line=(inspect.getdoc(one.function) or "").partition("\n")[0],
        )
        for one in attacks
    ]


def command(found: Attack) -> str:
    """A command that runs an attack, with its first option; a shell reads it as one line."""
    norm = found.norms[0]
    lines = ["unfooled attack --model runs/mnist/models/plain-0.safetensors"]
    if "surrogates" in found.all_options:
        lines += ["--surrogate runs/mnist/models/noise-0.safetensors"]
    words = [f"--attack {found.name} --norm {norm} --eps {usual(found, norm)}"]
    words += [f"--option {name}={value}" for name, value in _set(found)[:1]]
    return " \\\n  ".join([*lines, " ".join(words)])


def snippet(found: Attack) -> str:
    """Lines of a study file that run it."""
    eps = _USUAL.get(found.norms[0], 0.1)
    lines = ["[[attacks]]", f'name = "{found.name}"', f'norm = "{found.norms[0]}"']
    lines += [f"eps = [{eps / 2:g}, {eps:g}]", "images = 1000"]
    lines += [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in _set(found)
    ]
    return "\n".join(lines)


def facts(found: Attack) -> list[tuple[str, str]]:
    """What an attack knows, promises and takes, each under its heading."""
    return [
        ("knows", KNOWS.get(found.knows, found.knows)),
        ("promise", f"{found.promise}: {PROMISES.get(found.promise, '')}"),
        ("norms", ", ".join(found.norms)),
        ("aim", "any wrong class; with targets, the class that is wanted"),
    ]


def summary(crafted: Crafted) -> list[tuple[str, str]]:
    """What an attack came to, row by row."""
    facts, won = crafted.facts, crafted.won
    robust = _by_image(facts.ids, facts.robust[0])
    correct = _by_image(facts.ids, facts.correct)
    asked = facts.correct
    norm = crafted.order.threat.norm
    forward, backward = (_median(one[0][asked], ",g") for one in (facts.forward, facts.backward))
    what = "read as the target" if facts.targets is not None else "misread"
    rows = [
        ("clean accuracy", f"{_interval(share(correct[None]))}  {len(correct):,} images"),
        ("fooled", f"{won.sum():,} of the {asked.sum():,} read correctly are {what}"),
        ("robust accuracy", _interval(share(robust[None]))),
        ("distance", f"median {_median(facts.distance[0][won], '.3g')} in {norm}, of the fooled"),
        ("passes", f"median {forward} forward, {backward} backward an image"),
        ("until fooled", f"median {_median(facts.until[0][won], ',g')} forward"),
        ("at 8 bits", f"{(won & facts.fooled_at_8bit[0]).sum():,} of {won.sum():,} stay fooled"),
    ]
    if len(correct) < len(won):
        rows[1] = ("fooled", f"{won.sum():,} of {asked.sum():,} pairs of image and target")
        rows[2] = ("robust accuracy", f"{rows[2][1]}  against every target")
    outside = int((~facts.inside[0]).sum())
    if outside:
        rows.append(("outside eps", f"{outside:,} images, which count as not fooled"))
    return rows


def _by_image(ids: NDArray[np.int64], true: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether it is true in each row of an image: one with several targets has several rows."""
    _, places = np.unique(ids, return_inverse=True)
    whole = np.ones(places.max() + 1, dtype=np.bool_)
    np.logical_and.at(whole, places, true)
    return whole


def _median(values: NDArray[Any], how: str) -> str:
    return format(float(np.median(values)), how) if len(values) else "none"


def _interval(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def usual(found: Attack, norm: str) -> str:
    """An eps to begin with: infinite for a nearest attack, as it looks everywhere anyway."""
    return "inf" if found.promise == "nearest" else eps(norm)


def eps(norm: str) -> str:
    """A finite eps to begin with."""
    return f"{_USUAL.get(norm, 0.1):g}"


def _set(found: Attack) -> Sequence[tuple[str, object]]:
    """The options that have a plain value, as text can write it."""
    plain = (int, float, str)
    return [(name, value) for name, value in found.all_options.items() if isinstance(value, plain)]
