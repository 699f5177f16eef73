"""The picture of a defence: what the network learns from, and how the trained network stands."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import torch
from networks import EPOCHS, TAUGHT, Watched, digit, digits, network, read, shown

from unfooled import attack, catalog
from unfooled.drawing import COLOURS, FAINT, drawn_on, finished
from unfooled.evaluation import evaluate
from unfooled.gradients import gradient
from unfooled.losses import log_odds
from unfooled.randomness import Draws
from unfooled.threat import Threat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_IMAGES = 200
_EPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
_TOLD = 2  # which of them the caption names


Panes = Callable[["Axes", "Axes", str], str]


def lesson(name: str) -> tuple[str, str]:
    """What a defence teaches about one digit, how the network stands after it, and a caption."""
    image, label = digit()
    own, plain = _stands(name), _stands("standard")
    with drawn_on(4.8, 4.2, rows=2, columns=3) as (canvas, axes):
        shown(axes[0], image, f"a {int(label)}")
        words = _PANES.get(name, _neighbour)(axes[1], axes[2], name)
        for axis in axes[3:]:
            axis.remove()
        below = canvas.add_axes((0.13, 0.115, 0.84, 0.38))
        _curve(below, plain, "standard", FAINT)
        if name != "standard":
            _curve(below, own, name, COLOURS[1])
        below.set_ylim(0, 102)
        below.set_xlabel("Linf eps")
        below.set_ylabel("read correctly, %")
        below.legend(loc="upper right", frameon=False)
        canvas.subplots_adjust(0.02, 0.1, 0.98, 0.93, wspace=0.08, hspace=0.1)
        picture = finished(canvas, tight=False)
    caption = (
        f"{words} Below, the share of {_IMAGES} test digits that one network trained so (seed 0, "
        f"{EPOCHS} epochs) reads correctly under PGD-20: {own[_TOLD]:.0f} % at Linf {_EPS[_TOLD]}"
    )
    beside = (
        "." if name == "standard" else f", against {plain[_TOLD]:.0f} % after ordinary training."
    )
    return picture, caption + beside


def _curve(axis: "Axes", shares: list[float], label: str, colour: str) -> None:
    axis.plot(_EPS, shares, color=colour, marker="o", markersize=3.5, label=label)


@cache
def _stands(name: str) -> list[float]:
    """The share in per cent that stands, at each eps."""
    test = digits().test
    images, labels = test.pixels()[:_IMAGES], test.labels[:_IMAGES]
    facts = evaluate(
        network(name, 0),
        images,
        labels,
        attack.find("pgd", steps=20),
        [Threat("Linf", eps) for eps in _EPS],
        draws=Draws(0, "stands", torch.arange(_IMAGES)),
    )
    return [100 * float(row.mean()) for row in facts.robust]


def _neighbour(middle: "Axes", right: "Axes", name: str) -> str:
    """The image that the loss is taken of, moved by the defence itself."""
    image, label = digit()
    watched = Watched(network(name, 0))
    function = catalog.function("defences", name)
    draws = Draws(0, name, torch.tensor([0]))
    function(watched, image, label, draws=draws, progress=1.0, eps=TAUGHT)
    asked, _ = watched.all(image)
    # Of the last questions, those that the loss is taken of, the one that is not the digit itself.
    moved = max(asked[-2:].split(1), key=lambda one: float((one - image).abs().sum()))
    change = moved - image
    shown(middle, 0.5 + change / (2 * float(change.abs().max())), "the change")
    shown(right, moved, f"read as {read(watched.network, moved)}")
    return f"The digit, how {name} moves it within Linf {TAUGHT}, and what the loss is taken of."


def _box(lower: "Axes", upper: "Axes", _: str) -> str:
    """The darkest and the lightest that each pixel may become."""
    image = digit()[0]
    shown(lower, (image - TAUGHT).clamp(0, 1), f"each pixel less {TAUGHT}")
    shown(upper, (image + TAUGHT).clamp(0, 1), f"each pixel plus {TAUGHT}")
    return "The digit, and the two ends between which every pixel may lie."


def _gradients(ordinary: "Axes", own: "Axes", name: str) -> str:
    """The gradient by the pixels, of both networks on one scale."""
    image, label = digit()
    slopes = [
        gradient(network(one, 0), image, label, None, log_odds)[2] for one in ("standard", name)
    ]
    full = max(float(slope.abs().max()) for slope in slopes)
    for axis, slope, head in zip((ordinary, own), slopes, ("ordinary", "regularised"), strict=True):
        shown(axis, 0.5 + slope / (2 * full), f"gradient, {head}")
    return (
        "The digit, and how each pixel sways an ordinary and a regularised network, on one scale."
    )


def _answers(wanted: "Axes", given: "Axes", name: str) -> str:
    """What the network should answer about the digit, and what it answers."""
    image, label = digit()
    share = catalog.options(catalog.function("defences", name)).get("smoothing", 0.0)
    aims = torch.full((10,), share / 10)
    aims[label] += 1 - share
    answers = network(name, 0)(image).softmax(1)[0]
    for axis, values, head in ((wanted, aims, "wanted"), (given, answers, "answered")):
        axis.bar(range(10), values.numpy(), color=COLOURS[2])
        axis.set_title(head, loc="center")
        axis.set_ylim(0, 1)
        axis.set_box_aspect(1)
        axis.set_xticks(range(10), digits().classes, fontsize=7)
        axis.set_yticks([])
    return "The digit, the probability of each class that is wanted, and that the network answers."


_PANES: dict[str, Panes] = {
    "gradient_regularisation": _gradients,
    "ibp": _box,
    "label_smoothing": _answers,
    "standard": _answers,
}
