"""How figures are drawn: as SVG, each with a sentence for those who cannot see it.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; line styles and markers keep
them apart in grey as well.
"""

import base64
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#AA6FA0", "#E69F00", "#56B4E9", "#8C8C00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 4)))
_SCREEN = 96  # pixels an inch
_PAGE = b"""#set page(width: auto, height: auto, margin: 0pt, fill: white)
#image(bytes(sys.inputs.svg), format: "svg")"""
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

    def as_png(self) -> bytes:
        """The picture in pixels, two for each of a usual screen, for what shows no SVG."""
        import typst

        found = typst.compile(_PAGE, format="png", ppi=2 * _SCREEN, sys_inputs={"svg": self.svg})
        return bytes(found)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """What a notebook shows: the picture, and its numbers to those who cannot see it.

        In pixels, since exported notebooks leave the words out of an SVG and cut off a wide one.
        """
        picture = self.as_png()
        width, height = struct.unpack(">II", picture[16:24])  # where every PNG has them
        shown = {"image/png": base64.b64encode(picture).decode(), "text/plain": self.alt}
        about = {"alt": self.alt, "width": width // 2, "height": height // 2}
        return shown, {"image/png": about}


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
