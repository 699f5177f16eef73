"""The images of a report as figures: digits under a growing eps, and a look inside the network."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy import ndarray

from unfooled.drawing import INK, WRONG, Figure, drawn_on, finished
from unfooled.packing import Arrays
from unfooled.report import Report
from unfooled.results import RecipeResult

_COLUMNS, _ROWS = 10, 4  # of the printed figure
_SIDE = 64  # pixels of a tile on the page, at most


@dataclass(frozen=True)
class Strip:
    """The same few images under one recipe's attack, a row of tiles for each eps.

    Attributes:
        title: the recipe's.
        images: as bytes `[1 + t, k, c, h, w]`.
        read_as: for each eps, for each image, a place among the classes, or below 0 for nothing.
    """

    title: str
    images: ndarray
    read_as: tuple[tuple[int, ...], ...]

    @cached_property
    def sheet(self) -> str:
        """All tiles as one PNG, as an address that holds it; a row for each eps."""
        from PIL import Image

        rows, columns, channels, height, width = self.images.shape
        step = -(-max(height, width) // _SIDE)
        tiles = self.images[..., ::step, ::step]
        height, width = tiles.shape[-2:]
        sheet = tiles.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
        shown = 255 - sheet[..., 0] if channels == 1 else sheet[..., :3]
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Album:
    """What a reader of the page can slide through.

    Attributes:
        attack, norm: which moved the images.
        eps: ascending from 0.
        start: the place among them at which it is opened: the study's eps, or the nearest.
        classes: by name.
        labels: the true classes of the images, as places.
        strips: one for each recipe.
        grey: whether the images have no colour.
        trained: whether the study trained the networks, with seeds.
    """

    attack: str
    norm: str
    eps: tuple[float, ...]
    start: int
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    strips: tuple[Strip, ...]
    grey: bool
    trained: bool

    @property
    def sizes(self) -> tuple[str, ...]:
        """Each eps in words."""
        return tuple(f"eps {round(size, 4):g}" for size in self.eps)

    @property
    def plain(self) -> dict[str, object]:
        """What the page's script needs to know."""
        return {
            "attack": self.attack,
            "sizes": self.sizes,
            "classes": self.classes,
            "labels": self.labels,
            "titles": [strip.title for strip in self.strips],
            "read": [strip.read_as for strip in self.strips],
        }

    def called(self, place: int) -> str:
        """A class by its name; what is read as none is "nothing"."""
        return named(self.classes, place)

    def right(self, strip: int) -> int:
        """How many images a strip's network reads correctly at the start."""
        reads = self.strips[strip].read_as[self.start]
        return sum(read == label for read, label in zip(reads, self.labels, strict=True))


def named(classes: Sequence[str], place: int) -> str:
    """A class by its name; what is read as none is "nothing"."""
    return classes[place] if 0 <= place < len(classes) else "nothing"


def album(report: Report) -> Album | None:
    """The images of all recipes that a figure can hold; None where a run has none."""
    have = [r for r in report.results.featured if r.name in report.pictures]
    if not have:
        return None
    one, sweep = report.pictures[have[0].name], report.study.sweeps[0]
    eps = tuple(float(size) for size in one["eps"])
    return Album(
        attack=sweep.title,
        norm=sweep.norm,
        eps=eps,
        start=int(np.argmin(np.abs(np.array(eps) - report.study.answer_eps))),
        classes=tuple(report.environment["data"]["classes"]),
        labels=tuple(one["labels"].tolist()),
        strips=tuple(_strip(recipe.title, report.pictures[recipe.name]) for recipe in have),
        grey=one["images"].shape[2] == 1,
        trained=not report.study.given,
    )


def _strip(title: str, seen: Arrays) -> Strip:
    return Strip(title, seen["images"], tuple(map(tuple, seen["read_as"].tolist())))


def digits(report: Report, recipe: RecipeResult) -> Figure:
    """Some test images before and after the attack, with what the network reads."""
    seen = report.pictures[recipe.name]
    classes = report.environment["data"]["classes"]
    eps, labels = seen["eps"], seen["labels"]
    rows = _printed(eps, [0.0, *report.study.sweeps[0].eps])
    count, told = min(_COLUMNS, len(labels)), []
    with drawn_on(7.1, 0.86 * len(rows) + 0.2, rows=len(rows), columns=count) as (canvas, axes):
        for line, row in enumerate(rows):
            for column in range(count):
                axis = axes[line * count + column]
                axis.imshow(_shown(seen["images"][row, column]), cmap="gray_r", vmin=0, vmax=255)
                axis.set_xticks([])
                axis.set_yticks([])
                read = int(seen["read_as"][row, column])
                name = named(classes, read)
                wrong = read != labels[column]
                for spine in axis.spines.values():
                    spine.set_visible(wrong)
                    spine.set_color(WRONG)
                axis.set_title(
                    name,
                    loc="center",
                    pad=2,
                    fontsize=8 if len(name) < 4 else 5.5,
                    color=WRONG if wrong else INK,
                    fontweight="bold" if wrong else "normal",
                )
            axes[line * count].set_ylabel(
                f"eps\n{eps[row]:.4g}", rotation=0, ha="right", va="center", ma="right"
            )
            right = int((seen["read_as"][row, :count] == labels[:count]).sum())
            told.append(f"at eps {eps[row]:g} it reads {right} of {count} correctly")
        canvas.subplots_adjust(0.08, 0.01, 0.995, 0.93, wspace=0.12, hspace=0.32)
        svg = finished(canvas, tight=False)
    title = report.study.sweeps[0].title
    which = "the network" if report.study.given else "the network of seed 0"
    return Figure(
        f"digits-{recipe.name}",
        f"{recipe.title}: the same images under {title}",
        f"Above each image, what {which} reads; bold and framed where it is wrong. An image that "
        "a larger eps leaves correct again counts as fooled all the same.",
        f"Test images, attacked with growing eps; {'; '.join(told)}.",
        svg,
        ("eps", "test image", "true class", "read as"),
        tuple(
            (size, one, named(classes, label), named(classes, read))
            for size, reads in zip(eps.tolist(), seen["read_as"].tolist(), strict=True)
            for one, label, read in zip(seen["ids"].tolist(), labels.tolist(), reads, strict=True)
        ),
    )


def _printed(eps: ndarray, asked: Sequence[float]) -> list[int]:
    """Rows that a page can hold, of those that the study asked for."""
    own = [place for place, one in enumerate(eps) if one in asked]
    return sorted({own[round(one)] for one in np.linspace(0, len(own) - 1, _ROWS)})


def inside(report: Report) -> Figure | None:
    """The filters of the first convolution and what they answer to one image."""
    baseline = report.results.recipes[0]
    seen: Arrays = report.pictures.get(baseline.name, {})
    if not len(seen.get("filters", ())):
        return None
    filters, maps = seen["filters"][:16], seen["maps"][:16]
    with drawn_on(7.1, 1.2, rows=2, columns=len(filters)) as (canvas, axes):
        largest = float(np.abs(filters).max())
        for place, (one, answer) in enumerate(zip(filters, maps, strict=True)):
            axes[place].imshow(one.mean(axis=0), cmap="RdBu_r", vmin=-largest, vmax=largest)
            axes[len(filters) + place].imshow(np.maximum(answer, 0), cmap="gray_r")
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("filter", rotation=0, ha="right", va="center")
        axes[len(filters)].set_ylabel("answer", rotation=0, ha="right", va="center")
        canvas.subplots_adjust(0.07, 0.02, 0.995, 0.98, wspace=0.25, hspace=0.2)
        svg = finished(canvas, tight=False)
    classes = report.environment["data"]["classes"]
    last = min(len(set(seen["labels"].tolist())), len(seen["labels"])) - 1
    return Figure(
        "inside",
        "What the first convolution learned",
        f"Above, {len(filters)} filters of the first convolution (blue: negative weights, red: "
        "positive); below, where and how strongly each answers to one image of a "
        f"{named(classes, int(seen['labels'][last]))}.",
        f"{len(filters)} small filters and the feature maps they produce.",
        svg,
        ("filter", "channel", "row", "column", "weight"),
        tuple(
            (*(int(place) for place in where), float(weight))
            for where, weight in np.ndenumerate(filters)
        ),
    )


def _shown(image: ndarray) -> ndarray:
    """Channels last for colour, no channel for grey."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)
