"""Files in the IDX format of MNIST and its relatives: found, read, and checked against their hash.

The format: two zero bytes, the type (8: bytes), the number of dimensions, each dimension as a
big-endian 32-bit number, then the bytes. Source: LeCun, Cortes and Burges, "The MNIST database".
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from unfooled.dataset import Dataset, assemble, split_of
from unfooled.errors import DataMissing, InvalidData

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MOST = 2**31  # bytes; no file of this family comes near, and a damaged head must not fill memory


def read(path: Path, dimensions: int) -> UInt8[Tensor, "..."]:
    """The bytes of a gzipped IDX file with that many dimensions.

    Raises:
        InvalidData: it is truncated, damaged, or another kind of file.
    """
    try:
        with gzip.open(path) as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
                raise InvalidData(
                    f"{path} is not an IDX file of bytes in {dimensions} dimensions: it begins "
                    f"with {head[:4].hex(' ')}, not {bytes((0, 0, 8, dimensions)).hex(' ')}"
                )
            shape = struct.unpack(f">{dimensions}I", head[4:])
            expected = math.prod(shape)
            if not 0 < expected <= _MOST:
                raise InvalidData(f"{path} says that it holds {' x '.join(map(str, shape))} bytes")
            content = file.read(expected + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidData(f"{path} is damaged or truncated: {error}") from error
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) != expected:
        more = "more" if len(content) > expected else f"only {len(content)}"
        raise InvalidData(f"{path} promises {expected} bytes and holds {more}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(shape)


def load(
    name: str,
    title: str,
    classes: tuple[str, ...],
    hashes: Mapping[str, str],
    loader: str,
    folder: Path | None,
) -> Dataset:
    """The data set behind four published IDX files; the last 5,000 training images are held out.

    Args:
        name, title, classes: see `Dataset`.
        hashes: SHA-256 of each of `FILES`.
        loader: the class in `torchvision.datasets` that can download them.
        folder: where to look; None looks in UNFOOLED_DATA, the cache, then downloads.

    Raises:
        DataMissing: the files are nowhere to be had.
        InvalidData: a file is damaged, or is not the published one.
    """
    home = _home(title, hashes, loader, folder)
    arrays = []
    for file in FILES:
        array = read(home / file, 3 if "images" in file else 1)
        found = hashlib.sha256((home / file).read_bytes()).hexdigest()
        if found != hashes[file]:
            raise InvalidData(
                f"{home / file} is not the published {title} file: its SHA-256 is {found}, "
                f"the published one's {hashes[file]}"
            )
        arrays.append(array)
    train, test = split_of(arrays[0], arrays[1]), split_of(arrays[2], arrays[3])
    held = min(5000, len(train) // 5)
    return assemble(name, title, classes, str(home), train, held, test)


def cache_folder() -> Path:
    """Where downloads are kept: `unfooled` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unfooled"


def _home(title: str, hashes: Mapping[str, str], loader: str, folder: Path | None) -> Path:
    """The folder with the four files; torchvision keeps them in `<its root>/<class>/raw`."""
    named = os.environ.get("UNFOOLED_DATA")
    looked = [folder] if folder else [Path(named)] if named else []
    for root in [*looked, *([] if folder else [cache_folder()])]:
        for home in (root / loader / "raw", root / "raw", root):
            if all((home / file).is_file() for file in FILES):
                return home
    if folder is None and _download(loader):
        return cache_folder() / loader / "raw"
    places = ", ".join(str(place) for place in [*looked, *([] if folder else [cache_folder()])])
    wanted = ", ".join(f"{file} (SHA-256 {hashes[file]})" for file in FILES)
    tried = "" if folder else ", and it could not be downloaded"
    raise DataMissing(
        f"{title} is not in {places}{tried}. Name the folder that holds its files by --data or "
        f"UNFOOLED_DATA: {wanted}. Or do without it: --dataset digits"
    )


def _download(loader: str) -> bool:
    """Whether torchvision could fetch the files into the cache; its progress bars are not ours."""
    from torchvision import datasets

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            getattr(datasets, loader)(root=str(cache_folder()), download=True)
        except (OSError, RuntimeError):
            return False
    return True
