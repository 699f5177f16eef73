"""Data sets that nobody published, in the formats of those that somebody did."""

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unfooled import catalog
from unfooled.datasets import cifar10

BATCHES = [f"data_batch_{number}.bin" for number in (1, 2, 3, 4, 5)] + ["test_batch.bin"]


def folder_of(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with made-up files of that data set, whose hashes count as the published ones."""
    home.mkdir(parents=True, exist_ok=True)
    if name == "cifar10":
        archive(home / cifar10.ARCHIVE, monkeypatch=monkeypatch)
    elif name == "image_folder":
        pictures(home, {str(label): 12 for label in range(10)}, side=28)
    else:
        idx_files(home, catalog.module("datasets", name).HASHES, monkeypatch)
    return home


def idx_files(home: Path, hashes: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 100 + 30 images of 28 x 28 in ten classes."""
    home.mkdir(parents=True, exist_ok=True)
    for file, published in list(hashes.items()):
        n = 100 if "train" in file else 30
        shape = (n, 28, 28) if "images" in file else (n,)
        count = n * 784 if "images" in file else n
        values = bytes(i % (256 if "images" in file else 10) for i in range(count))
        head = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
        content = gzip.compress(head + values, mtime=0)
        (home / file).write_bytes(content)
        kind = {64: "sha256", 32: "md5"}[len(published)]
        monkeypatch.setitem(hashes, file, hashlib.new(kind, content).hexdigest())


def batch(labels: Iterable[int]) -> bytes:
    """Records of CIFAR-10: all red, then all green, then all blue pixels of each image."""
    bands = b"".join(bytes([value]) * 1024 for value in (10, 20, 250))
    return b"".join(bytes([label]) + bands for label in labels)


def archive(
    path: Path, *, monkeypatch: pytest.MonkeyPatch | None = None, **changed: bytes | None
) -> None:
    """CIFAR-10's archive with 20 images a batch; `changed` batches hold that, or are left out.

    With a monkeypatch its hash counts as the published one.
    """
    contents = {
        f"cifar-10-batches-bin/{name}": batch(i % 10 for i in range(20)) for name in BATCHES
    }
    contents["cifar-10-batches-bin/readme.html"] = b"<html>"
    for name, content in changed.items():
        whole = f"cifar-10-batches-bin/{name}.bin"
        contents.pop(whole)
        if content is not None:
            contents[whole] = content
    packed(path, contents)
    if monkeypatch is not None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setattr(cifar10, "SHA256", digest)


def packed(path: Path, contents: Mapping[str, bytes]) -> None:
    """A tar.gz of these files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def picture(path: Path, *, side: int = 8, mode: str = "L", value: int = 255) -> None:
    """An image file; its first pixel has that value, and the others differ from file to file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(hashlib.sha256(str(path.name).encode()).digest()[:4], "little")
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, bands), np.uint8)
    pixels[0, 0] = value
    Image.fromarray(pixels[:, :, 0] if bands == 1 else pixels, mode).save(path)


def pictures(home: Path, classes: Mapping[str, int], *, side: int = 8, mode: str = "L") -> None:
    """A folder with a sub-folder for each class, and so many images in it."""
    for name, n in classes.items():
        for number in range(n):
            picture(home / name / f"{number}.png", side=side, mode=mode)
