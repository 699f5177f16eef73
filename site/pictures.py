"""Pictures of what attacks and defences do, drawn from small networks that are trained on digits.

One network, one digit, one seed: they show how a method goes about it, and measure nothing. They
are drawn again when the code of unfooled or of the site has changed, and are the same each time.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lessons import lesson
from networks import Watched, digit, network, read, shown

import unfooled
from unfooled import attack, guide
from unfooled.drawing import COLOURS, FAINT, INK, drawn_on, finished
from unfooled.losses import fooled, margin
from unfooled.memory import Room
from unfooled.randomness import Draws
from unfooled.shapes import PerImage
from unfooled.threat import Threat
from unfooled.victim import Passes, Victim

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RIGHT, _WRONG = COLOURS[2], COLOURS[1]
# Less work than by default, where a picture could not show all of it.
_A_PASS = 250  # images, at most
_FEWER: dict[str, dict[str, int]] = {
    "boundary": {"queries": 600},
    "carlini_wagner": {"steps": 60, "searches": 5},
    "hopskipjump": {"queries": 600},
    "square": {"queries": 600},
    "spsa": {"steps": 20},
}
_EPS = {"Linf": 0.12}


def kept(folder: Path) -> Callable[[str, str, Path], str]:
    """What draws a member's picture into a file and says what it shows, once for the same code."""
    house = Path(unfooled.__file__).parent
    here = (Path(__file__).with_name(f"{name}.py") for name in ("pictures", "lessons", "networks"))
    code = [*sorted(house.rglob("*.py")), *here]
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:16]

    def draw(of: str, name: str, target: Path) -> str:
        picture, words = (folder / f"{of}-{name}-{stamp}{end}" for end in (".svg", ".txt"))
        if not words.exists():
            folder.mkdir(parents=True, exist_ok=True)
            svg, caption = (attacked if of == "attacks" else lesson)(name)
            picture.write_text(svg)
            words.write_text(caption)
        target.write_text(picture.read_text())
        return words.read_text()

    return draw


def attacked(name: str) -> tuple[str, str]:
    """What an attack makes of one digit and every question that it asks, and a caption."""
    fewer: dict[str, object] = dict(_FEWER.get(name, {}))
    found = attack.find(name, **fewer)
    norm, bounded = found.norms[0], found.promise == "bounded"
    threat = Threat(norm, _EPS.get(norm, guide.USUAL[norm]) if bounded else math.inf)
    image, label = digit()
    watched = Watched(network("standard", 0))
    passes = Passes.none(label)
    victim = Victim(
        watched,
        found.knows,
        passes,
        lambda rows, _, logits: fooled(logits, label[rows]),
        Room(_A_PASS),
    )
    others = {"surrogates": [network("standard", 1)]} if "surrogates" in found.all_options else {}
    after = found.function(
        victim, image, label, threat, draws=Draws(0, name, torch.tensor([0])), **fewer, **others
    )
    asked, answered = watched.all(image)
    before, now = (read(watched.network, one) for one in (image, after))
    size = f"{norm} {float(threat.distance(image, after)):.2g}"
    caption = (
        f"{name}{f' at {threat}' if bounded else ''}: a {int(label)} that is read as {before} "
        f"becomes one that is read as {now}, {size} away, after {_counted(len(asked))} to the "
        "network."
    )
    every, answers = torch.cat([asked, after]), torch.cat([answered, watched.network(after)])
    lead = -margin(answers, label.expand(len(answers)))
    with drawn_on(4.8, 4.2, rows=2, columns=3) as (canvas, axes):
        change = after - image
        full = max(float(change.abs().max()), 1e-3)
        trio = (image, 0.5 + change / (2 * full), after)
        heads = (f"read as {before}", f"the change, {size}", f"read as {now}")
        for axis, one, head in zip(axes[:3], trio, heads, strict=True):
            shown(axis, one, head)
        for axis in axes[3:]:
            axis.remove()
        below = canvas.add_axes((0.13, 0.115, 0.84, 0.35))
        if bounded:
            _questions(below, lead, lead, "lead of the true class")
            below.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        else:
            away = threat.distance(image.expand_as(every), every)
            _questions(below, away, lead, f"distance ({norm})")
            below.set_ylim(bottom=0)
        canvas.subplots_adjust(0.02, 0.1, 0.98, 0.93, wspace=0.08, hspace=0.1)
        return finished(canvas, tight=False), caption


def _counted(questions: int) -> str:
    return "1 question" if questions == 1 else f"{questions:,} questions"


def _questions(axis: "Axes", heights: PerImage, lead: PerImage, words: str) -> None:
    """A mark for each question, in the order in which they were asked; the last is the result."""
    from matplotlib.ticker import MaxNLocator

    places = torch.arange(1, len(heights) + 1)
    size = 16 if len(heights) < 80 else 4
    right, wrong = lead[:-1] > 0, lead[:-1] <= 0
    for which, colour, label in ((right, _RIGHT, "read correctly"), (wrong, _WRONG, "misread")):
        rows = which.nonzero()[:, 0]
        axis.scatter(places[rows], heights[rows], s=size, color=colour, label=label)
    ring = _RIGHT if lead[-1] > 0 else _WRONG
    axis.scatter(places[-1:], heights[-1:], s=50, facecolors="none", edgecolors=ring, clip_on=False)
    axis.scatter([], [], s=50, facecolors="none", edgecolors=INK, label="what came back")
    axis.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        borderpad=0.2,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("questions to the network, in their order")
    axis.set_ylabel(words)
    beside = max(0.6, 0.03 * len(places))
    axis.set_xlim(1 - beside, len(places) + beside)
    if len(places) == 1:  # no question at all
        axis.set_xticks([])
