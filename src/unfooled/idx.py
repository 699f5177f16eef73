"""Files in the IDX format of MNIST and its relatives: found, read, and checked against their hash.

Where the files of any data set are looked for is said here too: `roots` and `cache_folder`.

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
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from unfooled.dataset import Dataset, Split, assemble, split_of
from unfooled.errors import DataMissing, InvalidData
from unfooled.shapes import ByteImages

Place = Path | zipfile.Path  # a folder, or one within a zip file

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MOST = 2**30  # bytes; no file of this family comes near, and a damaged head must not fill memory
_DEFLATE = 1032  # bytes that one packed byte can hold at most
_KINDS = {64: "SHA-256", 32: "MD5"}  # of hashes, by the number of their digits


def read(path: Place, dimensions: int) -> UInt8[Tensor, "..."]:
    """The bytes of a gzipped IDX file with that many dimensions.

    No more is unpacked than its head says, which is at most what such a file can hold packed.

    Raises:
        InvalidData: it is truncated, damaged, or another kind of file.
    """
    with _readable(path), path.open("rb") as packed, gzip.open(packed) as file:
        head = file.read(4 + 4 * dimensions)
        if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
            raise InvalidData(
                f"{path} is not an IDX file of bytes in {dimensions} dimensions: it begins "
                f"with {head[:4].hex(' ')}, not {bytes((0, 0, 8, dimensions)).hex(' ')}"
            )
        shape = struct.unpack(f">{dimensions}I", head[4:])
        expected = math.prod(shape)
        most = min(_MOST, _DEFLATE * _size(path))
        if not 0 < expected <= most:
            raise InvalidData(f"{path} says that it holds {' x '.join(map(str, shape))} bytes")
        content = file.read(expected + 1)
    if len(content) != expected:
        more = "more" if len(content) > expected else f"only {len(content)}"
        raise InvalidData(f"{path} promises {expected} bytes and holds {more}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(shape)


@contextlib.contextmanager
def _readable(path: Place) -> Iterator[None]:
    """What can be wrong with a file, as errors of ours."""
    try:
        if not path.is_file() and path.exists() and not path.is_dir():
            raise InvalidData(f"{path} is no regular file")
        yield
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidData(f"{path} is damaged or truncated: {error}") from error
    # The latter two where a zip is packed in a way that this Python does not know.
    except (OSError, NotImplementedError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidData(f"{path} cannot be read: {reason}") from error


def _size(path: Place) -> int:
    """Bytes of a file as it is, packed."""
    return path.stat().st_size if isinstance(path, Path) else path.root.getinfo(path.at).file_size


def load(
    name: str,
    title: str,
    classes: tuple[str, ...],
    hashes: Mapping[str, str],
    loader: str,
    folder: Path | None,
    *,
    archive: str = "",
    upright: Callable[[ByteImages], ByteImages] = lambda images: images,
) -> Dataset:
    """The data set behind four published IDX files; the last 5,000 training images are held out.

    Args:
        name, title, classes: see `Dataset`.
        hashes: SHA-256 or MD5 of each file: images and labels to train on, then those of the test.
        loader: the class in `torchvision.datasets` that can download them.
        folder: where to look; None looks in UNFOOLED_DATA, the cache, then downloads.
        archive: a zip file in which they may lie instead, in a folder of its name.
        upright: turns images that are stored lying.

    Raises:
        DataMissing: the files are nowhere to be had.
        InvalidData: a file is damaged, or is not the published one.
    """
    home = _home(title, hashes, loader, folder, archive)
    arrays = []
    for file, published in hashes.items():
        kind = _KINDS[len(published)]
        # Before anything in it is unpacked.
        with _readable(home / file):
            found = digest(home / file, kind.replace("-", ""))
        if found != published:
            raise InvalidData(
                f"{home / file} is not the published {title} file: its {kind} is {found}, "
                f"the published one's {published}"
            )
        arrays.append(read(home / file, 3 if "images" in file else 1))
    train, test = (
        Split(upright(split.images).contiguous(), split.labels)
        for split in (split_of(arrays[0], arrays[1]), split_of(arrays[2], arrays[3]))
    )
    held = min(5000, len(train) // 5)
    return assemble(name, title, classes, str(home), train, held, test)


def digest(path: Place, kind: str = "sha256") -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        found = hashlib.new(kind, usedforsecurity=False)
        while part := file.read(2**20):
            found.update(part)
    return found.hexdigest()


def cache_folder() -> Path:
    """Where downloads are kept: `unfooled` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unfooled"


def roots(folder: Path | None) -> list[Path]:
    """Where the files of a data set are looked for, in this order.

    Only in `folder` if the user named one; else in the folder that UNFOOLED_DATA names, then in the
    cache.
    """
    if folder:
        return [folder]
    named = os.environ.get("UNFOOLED_DATA")
    return [*([Path(named)] if named else []), cache_folder()]


def quietly(fetch: Callable[[], object]) -> bool:
    """Whether a download by torchvision came to its end; its progress bars are not ours."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            fetch()
        except (OSError, RuntimeError):
            return False
    return True


def _home(
    title: str, hashes: Mapping[str, str], loader: str, folder: Path | None, archive: str
) -> Place:
    """The folder with the four files."""
    places = roots(folder)
    home = _first(places, hashes, loader, archive)
    if home is None and folder is None and _download(loader):
        home = _first([cache_folder()], hashes, loader, archive)
    if home is not None:
        return home
    wanted = ", ".join(f"{file} ({_KINDS[len(one)]} {one})" for file, one in hashes.items())
    either = f", or {archive}, which holds them" if archive else ""
    tried = "" if folder else ", and it could not be downloaded"
    raise DataMissing(
        f"{title} is not in {', '.join(map(str, places))}{tried}. Name the folder that holds its "
        f"files by --data or UNFOOLED_DATA: {wanted}{either}. Or do without it: --dataset digits"
    )


def _first(places: list[Path], files: Iterable[str], loader: str, archive: str) -> Place | None:
    """The first folder that holds all files."""
    homes = (home for root in places for home in _homes(root, loader, archive))
    return next((home for home in homes if all((home / file).is_file() for file in files)), None)


def _homes(root: Path, loader: str, archive: str) -> Iterator[Place]:
    """Folders below a root; torchvision keeps the files in `<its root>/<class>/raw`."""
    for home in (root / loader / "raw", root / "raw", root):
        yield home
        packed = home / archive
        if not archive:
            continue
        yield packed.with_suffix("")
        if packed.is_file():
            try:
                yield zipfile.Path(packed, f"{packed.stem}/")
            except (OSError, zipfile.BadZipFile) as error:
                raise InvalidData(f"{packed} is damaged or truncated: {error}") from error


def _download(loader: str) -> bool:
    """Whether torchvision could fetch the files into the cache."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    source = getattr(datasets, loader)
    if not hasattr(source, "url"):
        return quietly(lambda: source(root=str(cache_folder()), download=True))
    # One archive: it is read as it is, so the class, which would unpack all of it, is not asked.
    home = str(cache_folder() / loader / "raw")
    return quietly(lambda: download_url(source.url, home, md5=source.md5))
