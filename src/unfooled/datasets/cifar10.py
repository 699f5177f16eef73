"""CIFAR-10: 60,000 small colour photographs of animals and vehicles."""

import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch

from unfooled import idx
from unfooled.dataset import Dataset, Split, assemble
from unfooled.errors import DataMissing, InvalidData

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ARCHIVE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_HOME = "cifar-10-batches-bin"
_TRAIN = tuple(f"{_HOME}/data_batch_{number}.bin" for number in range(1, 6))
_TEST = f"{_HOME}/test_batch.bin"
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE  # bytes: the label, then all red, all green, all blue pixels
_MOST = 10_000  # images in a file


def cifar10(*, folder: Path | None) -> Dataset:
    """50,000 training and 10,000 test photographs, 32 x 32, red, green and blue.

    The last 5,000 training images are held out. The archive of the binary version is read, without
    unpacking it, and its SHA-256 checked: the Python version holds pickles, which can run code.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images", chapter 3.
    """
    archive = _archive(folder)
    found = idx.digest(archive)  # before anything in it is unpacked
    if found != SHA256:
        raise InvalidData(
            f"{archive} is not the published CIFAR-10 archive: its SHA-256 is {found}, "
            f"the published one's {SHA256}"
        )
    batches = _members(archive)
    train, test = _split([batches[name] for name in _TRAIN]), _split([batches[_TEST]])
    held = min(5000, len(train) // 5)
    return assemble("cifar10", "CIFAR-10", CLASSES, str(archive.parent), train, held, test)


def _archive(folder: Path | None) -> Path:
    places = idx.roots(folder)
    found = [root / ARCHIVE for root in places if (root / ARCHIVE).is_file()]
    if found:
        return found[0]
    if folder is None and _download():
        return idx.cache_folder() / ARCHIVE
    tried = "" if folder else ", and it could not be downloaded"
    raise DataMissing(
        f"CIFAR-10 is not in {', '.join(map(str, places))}{tried}. Name the folder that holds "
        f"{ARCHIVE} (SHA-256 {SHA256}) by --data or UNFOOLED_DATA. Or do without it: "
        "--dataset digits"
    )


def _download() -> bool:
    from torchvision.datasets.utils import download_url

    home = str(idx.cache_folder())
    return idx.quietly(lambda: download_url(URL, home, filename=ARCHIVE, md5=MD5))


def _members(archive: Path) -> dict[str, bytes]:
    """The bytes of the six batches; whatever else is in the archive is passed over.

    Raises:
        InvalidData: the archive is damaged, or a batch is missing or is not what it should be.
    """
    wanted, found = {*_TRAIN, _TEST}, dict[str, bytes]()
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                if member.name in wanted and member.isreg():
                    _check_size(archive, member)
                    file = tar.extractfile(member)
                    found[member.name] = file.read() if file else b""
    except (EOFError, tarfile.TarError, zlib.error) as error:
        raise InvalidData(f"{archive} is damaged or truncated: {error}") from error
    except OSError as error:
        raise InvalidData(f"{archive} cannot be read: {error.strerror or error}") from error
    missing = sorted(wanted - found.keys())
    if missing:
        raise InvalidData(f"{archive} holds no {missing[0]}")
    for name, content in found.items():
        labels = np.frombuffer(content, np.uint8)[::_RECORD]
        if labels.max() >= len(CLASSES):
            place = int(labels.argmax())
            raise InvalidData(
                f"{archive}: image {place} of {name} has the label {labels[place]}; "
                f"there are {len(CLASSES)} classes, numbered from 0"
            )
    return found


def _check_size(archive: Path, member: tarfile.TarInfo) -> None:
    images, left = divmod(member.size, _RECORD)
    if left or not 0 < images <= _MOST:
        raise InvalidData(
            f"{archive}: {member.name} has {member.size:,} bytes; it must hold 1 to {_MOST:,} "
            f"images of {_RECORD:,} bytes each"
        )


def _split(batches: list[bytes]) -> Split:
    records = np.frombuffer(b"".join(batches), np.uint8).reshape(-1, _RECORD)
    images = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, _SIDE, _SIDE)
    labels = records[:, 0].astype(np.int64)
    return Split(torch.from_numpy(images), torch.from_numpy(labels))
