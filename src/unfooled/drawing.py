"""How figures are drawn: as SVG, with a sentence for those who cannot see it, and with its numbers.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; line styles and markers keep
them apart in grey as well. A mark that has been given words (`tip`) says them where a reader points
at it, in any viewer of SVG.
"""

import base64
import csv
import io
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unfooled.statistics import Estimate
from unfooled.wording import interval, percent

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#AA6FA0", "#E69F00", "#56B4E9", "#8C8C00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 4)))
_SCREEN = 96  # pixels an inch
_PAGE = b"""#set page(width: auto, height: auto, margin: 4pt, fill: white)
#image(bytes(sys.inputs.svg), format: "svg")"""
WRONG, INK, FAINT = "#B03000", "#222222", "#888888"
ENDS = ("read correctly", "low", "high")  # how the columns of an estimate are headed
Cell = str | float
_TIP = "tip:"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "unfooled",
    "text.parse_math": False,  # a recipe's title may hold a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "image.interpolation": "none",  # the pixels themselves, which a viewer enlarges
}


@dataclass(frozen=True)
class Figure:
    """A picture for a report.

    Attributes:
        name: of its file.
        title: one line above it.
        text: what there is to see, for the caption.
        alt: the same in numbers, for a screen reader.
        svg: the picture.
        head, rows: the numbers in it, as a table; shares as they are, not in per cent.
        narrow: the picture for a narrow screen; empty where the one does for both.
    """

    name: str
    title: str
    text: str
    alt: str
    svg: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    narrow: str = ""

    @property
    def csv(self) -> str:
        """The numbers, for other programs."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.head, *self.rows])
        return text.getvalue()

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """What a notebook shows: the picture, and its numbers to those who cannot see it.

        In pixels, since exported notebooks leave the words out of an SVG and cut off a wide one.
        """
        picture = raster(self.svg, per_inch=2 * _SCREEN)
        width, height = struct.unpack(">II", picture[16:24])  # where every PNG has them
        shown = {"image/png": base64.b64encode(picture).decode(), "text/plain": self.alt}
        about = {"alt": self.alt, "width": width // 2, "height": height // 2}
        return shown, {"image/png": about}


def ends(estimate: Estimate) -> tuple[float, float, float]:
    """An estimate as three cells."""
    return estimate.value, estimate.low, estimate.high


def tip(artist: "Artist", words: str) -> None:
    """What a mark says where a reader points at it."""
    artist.set_gid(_TIP + words)


@contextmanager
def drawn_on(
    width: float, height: float, *, rows: int = 1, columns: int = 1, sharey: bool = False
) -> Iterator[tuple["Canvas", list["Axes"]]]:
    """A figure of that size in inches and its axes, row by row; no window system is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Made

    with mpl.rc_context(_STYLE):
        canvas = Made(figsize=(width, height))
        axes = canvas.subplots(rows, columns, squeeze=False, sharey=sharey)
        yield canvas, list(axes.flat)


def finished(canvas: "Canvas", *, tight: bool = True) -> str:
    """The figure as SVG, cut to what is drawn if tight."""
    buffer = io.StringIO()
    how: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.02} if tight else {}
    canvas.savefig(buffer, format="svg", metadata={"Date": None}, **how)
    # Words with a quotation mark are quoted by the other.
    said = rf"""<g id=(["']){_TIP}(.*?)\1>"""
    return re.sub(said, r'<g class="tip"><title>\2</title>', buffer.getvalue())


def raster(svg: str, *, per_inch: float = 110.0) -> bytes:
    """A finished figure as PNG, on white, with so many pixels an inch."""
    import typst

    return bytes(typst.compile(_PAGE, format="png", ppi=per_inch, sys_inputs={"svg": svg}))


def band(
    axis: "Axes", x: Sequence[float], estimates: Sequence[Estimate], place: int, said: str
) -> "Line2D":
    """A line through estimates, their intervals as a band, and marks that say their numbers.

    Args:
        axis: on which it is drawn.
        x, estimates: where, and what.
        place: which of the lines it is; decides colour and dashes.
        said: what a mark says before its x.
    """
    colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    low, high = [one.low for one in estimates], [one.high for one in estimates]
    axis.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    (line,) = axis.plot(x, [one.value for one in estimates], color=colour, ls=dash, lw=1.5)
    for where, one in zip(x, estimates, strict=True):
        (mark,) = axis.plot(where, one.value, ".", color=colour, ms=4, clip_on=False)
        tip(mark, f"{said} {where:g}: {percent(one.value)} ({interval(one)})")
    return line


def end_labels(axis: "Axes", titles: Sequence[str], heights: Sequence[float]) -> None:
    """The names at the right of their lines, pushed apart where they would overlap.

    Args:
        axis: on which they end.
        titles, heights: of each line; heights as shares of the axis.
    """
    order = sorted(range(len(titles)), key=lambda place: heights[place])
    height = -0.06
    for place in order:
        height = max(height + 0.08, heights[place])
        reach: dict[str, Any] = {"transform": axis.transAxes, "color": FAINT, "clip_on": False}
        axis.plot([1, 1.04], [heights[place], height], lw=0.5, **reach)
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        how: dict[str, Any] = {"transform": axis.transAxes, "color": colour}
        axis.plot([1.04, 1.16], [height] * 2, ls=dash, lw=1.5, clip_on=False, **how)
        axis.text(1.19, height, titles[place], va="center", fontsize=7.5, **how)
