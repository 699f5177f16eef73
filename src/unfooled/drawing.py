"""How figures are drawn: as SVG, each with a sentence for those who cannot see it.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; line styles and markers keep
them apart in grey as well.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#AA6FA0", "#E69F00", "#56B4E9", "#8C8C00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 4)))
WRONG, INK, FAINT = "#B03000", "#222222", "#888888"
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
    "image.interpolation": "nearest",
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
    """

    name: str
    title: str
    text: str
    alt: str
    svg: str


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
    return buffer.getvalue()


def raster(svg: str, *, per_inch: float = 110.0) -> bytes:
    """A finished figure as PNG, on white, with so many pixels an inch."""
    import typst

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "figure.svg").write_text(svg)
        (folder / "page.typ").write_text(
            '#set page(width: auto, height: auto, margin: 4pt, fill: white)\n#image("figure.svg")\n'
        )
        made = typst.compile(folder / "page.typ", root=folder, format="png", ppi=per_inch)
    return bytes(made)
