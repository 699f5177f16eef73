"""The user's own images: a folder with one sub-folder a class.

They are decoded once, into one file in the cache, and read from there page by page: a data set may
be larger than memory.
"""

import contextlib
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL import __version__ as pillow

from unfooled import dataset, idx
from unfooled.dataset import Dataset, Split, assemble
from unfooled.errors import DataMissing, InvalidData, InvalidOption
from unfooled.shapes import ByteImages

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_LARGEST = 4096  # pixels a side; a small file can ask for any amount of memory
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_TEST, _VALIDATION = 5, 10  # of so many images of a class, one
_FORMAT = 1  # of the file in the cache


@dataclass(frozen=True)
class _Listed:
    """The image files of a folder, in the order in which they are kept.

    Attributes:
        root: the folder.
        classes: sorted.
        files, labels: of the images to train on, then of the validation, then of the test.
        held, judged: how many are of the validation, and how many of the test.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    held: int
    judged: int


def image_folder(*, folder: Path | None, size: int | None = None) -> Dataset:
    """The user's own images: a folder with a sub-folder a class, or with such a train and a test.

    The folder is the one that --data or UNFOOLED_DATA names. Without `train` and `test` one image
    of 5 in each class is for the test, and of the others one of 10 for the validation; with them,
    one of 10 in `train` is. Which ones depends on a hash of their paths within the folder alone.
    Grey images have one channel; where one of them has colours all have three, without alpha.

    Args:
        size: side in pixels that every image is brought to, cut to a square around its middle. None
            takes them as they are: all must be square and of one size.

    Raises:
        DataMissing: no folder was named, or it does not exist.
        InvalidData: an image is broken, too large, or of another size than the first; a class has
            too few images; there are fewer than two classes.
        InvalidOption: the size is not from 1 to 4096.
    """
    if size is not None and not 1 <= size <= _LARGEST:
        raise InvalidOption(f"size must be from 1 to {_LARGEST} pixels, not {size}")
    listed = _listed(_root(folder))
    images = _decoded(listed, size)
    labels = torch.tensor(listed.labels)
    cut = len(images) - listed.judged
    return assemble(
        "image_folder",
        listed.root.resolve().name or "image_folder",
        listed.classes,
        str(listed.root),
        Split(images[:cut], labels[:cut]),
        listed.held,
        Split(images[cut:], labels[cut:]),
    )


def _root(folder: Path | None) -> Path:
    named = os.environ.get("UNFOOLED_DATA")
    root = folder or (Path(named) if named else None)
    if root is None:
        raise DataMissing("image_folder needs a folder: name it by --data or UNFOOLED_DATA")
    if not root.is_dir():
        raise DataMissing(f"there is no folder {root}; --data or UNFOOLED_DATA names the images'")
    return root


def _listed(root: Path) -> _Listed:
    parts = [part for part in ("train", "test") if (root / part).is_dir()]
    if len(parts) == 1:
        raise InvalidData(f"{root} has a folder {parts[0]}, and must have both train and test")
    groups: list[list[tuple[Path, int]]] = [[], [], []]
    if parts:
        first, second = (_classes(root / part) for part in parts)
        if first.keys() != second.keys():
            odd = min(first.keys() ^ second.keys())
            raise InvalidData(f"the class {odd} is only in one of {root}/train and {root}/test")
    else:
        first, second = _classes(root), {}
    for label, (name, files) in enumerate(first.items()):
        ordered = sorted(files, key=lambda path: _rank(path, root))
        judged = [] if second else _taken(ordered, _TEST)
        held = _taken(ordered, _VALIDATION)
        if not ordered:
            raise InvalidData(
                f"the class {name} in {root} needs at least {2 if second else 3} images to train "
                f"on, and has {len(files)}"
            )
        for group, some in zip(groups, (ordered, held, second.get(name, judged)), strict=True):
            group += [(path, label) for path in some]
    pairs = [pair for group in groups for pair in sorted(group, key=lambda p: _rank(p[0], root))]
    return _Listed(
        root=root,
        classes=tuple(first),
        files=tuple(path for path, _ in pairs),
        labels=tuple(label for _, label in pairs),
        held=len(groups[1]),
        judged=len(groups[2]),
    )


def _classes(home: Path) -> dict[str, list[Path]]:
    """The image files of each class."""
    found = {}
    for place in sorted(home.iterdir()):
        if place.name.startswith(".") or not place.is_dir():
            continue
        found[place.name] = [
            path
            for path in sorted(place.rglob("*"))
            if path.suffix.lower() in SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()  # a pipe would be waited for
        ]
        if not found[place.name]:
            raise InvalidData(f"the class folder {place} holds no image ({', '.join(SUFFIXES)})")
    if len(found) < 2:
        raise InvalidData(
            f"{home} must hold a sub-folder for each of at least two classes, and holds "
            f"{' and '.join(found) or 'none'}"
        )
    return found


def _taken(files: list[Path], each: int) -> list[Path]:
    """One of so many files, at least one; they are taken away from the others."""
    n = max(1, len(files) // each)
    taken = files[:n]
    del files[:n]
    return taken


def _rank(path: Path, root: Path) -> bytes:
    """Mixes the classes: the first images of a split shall be of all."""
    name = path.relative_to(root).as_posix()
    return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()


def _decoded(listed: _Listed, size: int | None) -> ByteImages:
    """All images, in a file in the cache that is written where it is missing."""
    place = hashlib.sha256(os.fsencode(listed.root.resolve())).hexdigest()[:16]
    stem = f"{place}-{size or 'as-is'}"
    path = idx.cache_folder() / "image_folder" / f"{stem}-{_state(listed, size)}.npy"
    images = dataset.mapped(path, len(listed.files))
    if images is not None:
        return images
    shape = _shape(listed, size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < (needed := int(np.prod(shape, dtype=np.int64))):
            raise InvalidData(
                f"{path.parent} has {free:,} bytes left, and the decoded images need {needed:,}; "
                "XDG_CACHE_HOME names another place"
            )
        dataset.write(path, shape, (_pixels(file, shape) for file in listed.files))
        for other in path.parent.glob(f"{stem}-*.npy"):
            if other != path:  # of the folder as it once was
                with contextlib.suppress(OSError):
                    other.unlink()
    except OSError as error:
        raise InvalidData(f"{path} cannot be written: {error.strerror or error}") from error
    images = dataset.mapped(path, len(listed.files))
    if images is None:
        raise InvalidData(f"{path} cannot be read again")
    return images


def _state(listed: _Listed, size: int | None) -> str:
    """A hash of all that decides the decoded images, without reading the files."""
    digest = hashlib.sha256(json.dumps([_FORMAT, size, pillow]).encode())
    for path in listed.files:
        about = path.stat()
        name = os.fsencode(path.relative_to(listed.root).as_posix())
        digest.update(
            name + f"\0{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}\0".encode()
        )
    return digest.hexdigest()[:32]


def _shape(listed: _Listed, size: int | None) -> tuple[int, int, int, int]:
    """Number, channels and side of the images, by the heads of their files."""
    channels, sides, first = 1, (size, size), None
    for path in sorted(listed.files):
        with _opened(path) as image:
            shape = image.size
            channels = 3 if image.mode in _COLOUR else channels
        if size is not None:
            continue
        if first is None:
            first, sides = path, shape
        if shape != sides or shape[0] != shape[1]:
            like = f", as {first.name} is" if shape != sides else ""
            raise InvalidData(
                f"{path} is {shape[0]} x {shape[1]} pixels, and all images must be square and of "
                f"one size{like}; a data set function of your own that calls "
                "image_folder(folder=folder, size=...) brings them to one"
            )
    return len(listed.files), channels, int(sides[0] or 0), int(sides[1] or 0)


def _pixels(path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
    """An image as bytes `[c, h, w]`."""
    with _opened(path) as image:
        whole = ImageOps.exif_transpose(image).convert("L" if shape[1] == 1 else "RGB")
        if whole.size != (shape[3], shape[2]):
            whole = ImageOps.fit(whole, (shape[3], shape[2]), Image.Resampling.BICUBIC)
        return np.asarray(whole).reshape(shape[2], shape[3], shape[1]).transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image of which only the head is read until its pixels are asked for.

    Raises:
        InvalidData: it is broken, too large, or not of 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is looser than this one
            with Image.open(path, formats=_FORMATS) as image:
                if max(image.size) > _LARGEST:
                    raise InvalidData(
                        f"{path} is {image.size[0]} x {image.size[1]} pixels; at most {_LARGEST} "
                        "a side are read"
                    )
                if image.mode not in _GREY + _COLOUR:
                    raise InvalidData(f"{path} has pixels of the kind {image.mode}, not of 8 bits")
                yield image
    except InvalidData:
        raise
    except Exception as error:  # Pillow raises many kinds
        raise InvalidData(f"{path} cannot be read as an image: {error}") from error
