"""A contact sheet: a few images as they were, how they were changed, and as they are now."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from unfooled.crafting import Crafted
from unfooled.evaluation import UNREAD
from unfooled.shapes import Images

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SHOWN = 12  # images
_COLUMNS = 3
_SIDE, _GAP, _LINE, _TYPE = 112, 16, 19, 13  # of an image, between them, of a line, of its letters
_INK, _FOOLED, _STANDS = (32, 32, 32), (176, 32, 32), (0, 96, 128)


def as_bytes(images: Images) -> UInt8[ndarray, "n h w c"]:
    """Images as bytes, rounded to the nearest, with the channels last."""
    pixels: UInt8[ndarray, "n h w c"] = (
        images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    )
    return pixels


def png(pixels: UInt8[ndarray, "h w c"]) -> bytes:
    """A grey or coloured picture as the bytes of a PNG file."""
    from PIL import Image

    return _packed(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def sheet(crafted: Crafted) -> bytes:
    """Up to 12 images, each as it was, its change magnified, and as it is now; a PNG file.

    Every pixel is a square, for an interpolated change is another change. All changes are magnified
    by the same factor, and grey is no change. Fooled images come first.
    """
    rows = shown(crafted)
    images, adversarial = crafted.images[rows], crafted.adversarial[rows]
    delta = adversarial - images
    full = _full(delta)
    middle = (0.5 + delta / (2 * full)).clamp(0, 1)
    trios = zip(as_bytes(images), as_bytes(middle), as_bytes(adversarial), strict=True)
    cells = [_cell(trio, *_captions(crafted, row)) for row, trio in zip(rows, trios, strict=True)]
    return _packed(_arranged(_heading(crafted, len(rows), 0.5 / full), cells))


def shown(crafted: Crafted) -> list[int]:
    """The rows on the sheet: the first that are fooled, then the first that stand."""
    won = crafted.won
    stands = crafted.facts.correct & ~won
    return [int(row) for row in (*np.flatnonzero(won), *np.flatnonzero(stands))][:SHOWN]


def _full(delta: Images) -> float:
    """The change that is drawn white or black: a few larger ones shall not leave the rest grey."""
    if not len(delta):
        return 0.5
    sizes = delta.abs()
    return max(float(sizes.quantile(0.99)), float(sizes.max()) / 4, 1 / 255)


def _heading(crafted: Crafted, count: int, factor: float) -> list[str]:
    won = int(crafted.won.sum())
    fooled = f"{min(won, count)} of the {won} fooled" if won else "none was fooled"
    standing = f", {count - won} of those that stand" if won < count else ""
    return [
        f"{crafted.order.attack.name}, {crafted.order.threat}, on {crafted.saved.path.name}, "
        f"{crafted.saved.data.title}",
        f"Here: {fooled}{standing}. Left before, right after; between them the change,",
        f"times {factor:.3g}: grey is none, white is brighter, black is darker.",
    ]


def _captions(crafted: Crafted, row: int) -> tuple[str, str, str, tuple[int, int, int]]:
    """What stands under the three pictures of a row, and the colour of the last."""
    facts, names = crafted.facts, crafted.saved.data.classes
    read_as = int(facts.read_as[0, row])
    after = "nothing" if read_as == UNREAD else names[read_as]
    target = "" if facts.targets is None else f", wanted {names[int(facts.targets[row])]}"
    before = f"{names[int(facts.labels[row])]}  (image {int(facts.ids[row])})"
    size = f"{crafted.order.threat.norm} {facts.distance[0, row]:.3g}"
    if crafted.won[row]:
        return before, size, f"read as {after}", _FOOLED
    return before, size, f"still {after}{target}", _STANDS


def _cell(
    trio: Sequence[UInt8[ndarray, "h w c"]],
    before: str,
    change: str,
    after: str,
    colour: tuple[int, int, int],
) -> "Picture":
    """Three pictures beside each other, with a caption under each."""
    from PIL import Image, ImageDraw, ImageFont

    times = max(1, round(_SIDE / len(trio[0])))
    side = times * len(trio[0])
    step = max(side, _SIDE) + _GAP // 4
    cell = Image.new("RGB", (3 * step, side + _LINE), "white")
    pen, font = ImageDraw.Draw(cell), ImageFont.load_default(_TYPE)
    inks = (_INK, _INK, colour)
    for place, (pixels, text) in enumerate(zip(trio, (before, change, after), strict=True)):
        squares = pixels.repeat(times, 0).repeat(times, 1).repeat(3 // pixels.shape[2], 2)
        cell.paste(Image.fromarray(squares), (place * step, 0))
        pen.text((place * step, side + 2), text, inks[place], font)
    return cell


def _arranged(heading: Sequence[str], cells: Sequence["Picture"]) -> "Picture":
    """The cells in rows under the heading."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_TYPE)
    top = _GAP + len(heading) * _LINE + _GAP // 2
    across, down = (cells[0].width + _GAP, cells[0].height + _GAP) if cells else (0, 0)
    columns = min(_COLUMNS, len(cells))
    wide = max(int(max(map(font.getlength, heading))) + 1 + _GAP, columns * across)
    canvas = Image.new("RGB", (wide + _GAP, top + -(-len(cells) // _COLUMNS) * down), "white")
    pen = ImageDraw.Draw(canvas)
    for place, line in enumerate(heading):
        pen.text((_GAP, _GAP + place * _LINE), line, _INK, font)
    for place, cell in enumerate(cells):
        canvas.paste(cell, (_GAP + place % _COLUMNS * across, top + place // _COLUMNS * down))
    return canvas


def _packed(picture: "Picture") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
