"""What a data set is: three splits of byte images with labels, and where they came from.

Every file in `datasets/` holds a function of its own name:

    def name(*, folder: Path | None) -> Dataset

`folder` is where the user says the files are; None looks in `UNFOOLED_DATA`, then in the cache,
then tries to download. Images may lie in a file that is larger than memory; see `mapped`.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from unfooled import catalog, memory
from unfooled.errors import InvalidData, UnfooledError
from unfooled.randomness import Draws
from unfooled.shapes import ByteImages, Images, Labels


@dataclass(frozen=True)
class Split:
    """Images as bytes and their classes.

    Attributes:
        images: uint8 `[n, c, h, w]`, h = w; only to be read.
        labels: int64 `[n]`.
    """

    images: ByteImages
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, which: Labels | None = None) -> Images:
        """The images (those with these positions) as float in [0, 1]."""
        return (self.images if which is None else self.images[which]).float().div_(255)

    def hand(self, device: torch.device) -> int:
        """How many of the images are worked on at once; see `memory.hand`."""
        return memory.hand(self.images.shape[1:], device)

    def sample(self, n: int) -> Labels:
        """Positions of n images, drawn once and for all; every position when n is not less.

        Always the same, and a smaller sample is part of every larger one. Not the first n: the
        first half of MNIST's test set is known to be the easier one.
        """
        return Draws(0, "sample").order(len(self))[:n].sort().values

    def part(self, start: int, stop: int | None) -> "Split":
        """The images from one position up to another."""
        return Split(self.images[start:stop], self.labels[start:stop])


@dataclass(frozen=True)
class Dataset:
    """Images to train on, to choose by (validation) and to judge by (test, touched once).

    Attributes:
        name: as users write it.
        title: as a report prints it.
        classes: their names, in the order of the labels.
        train, validation, test: the three splits.
        source: where the images were read from.
        sha256: of all images and labels of the three splits.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    source: str
    sha256: str

    def split(self, name: str) -> Split:
        """The split of that name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    @property
    def channels(self) -> int:
        """1 for grey images."""
        return self.train.images.shape[1]

    @property
    def size(self) -> int:
        """Side of the square images, in pixels."""
        return self.train.images.shape[2]


def meant(words: str, folder: Path | None) -> tuple[str, Path | None]:
    """The name of a data set and the folder of its files, from what a user wrote.

    Args:
        words: a name as `find` takes it, or, where no data set has that name, a folder with one
            folder of images a class.
        folder: of the data files, for a name.
    """
    known = ":" in words or words in catalog.names("datasets")
    if not known and Path(words).is_dir():
        return "image_folder", Path(words)
    return words, folder


def find(name: str, *, folder: Path | None = None, **options: Any) -> Dataset:
    """The data set of that name.

    Raises:
        UnknownName: there is none.
        InvalidOption: it has no such option, or the value is of another kind.
        DataMissing: its files are nowhere to be had.
        InvalidData: its files are damaged.
    """
    make = catalog.function("datasets", name)
    catalog.check_options(name, make, options, ("folder",))
    try:
        dataset = make(folder=folder, **options)
    except UnfooledError:
        raise
    except Exception as error:
        raise InvalidData(f"{name} raised {type(error).__name__}: {error}") from error
    if not isinstance(dataset, Dataset):
        raise InvalidData(f"{name} returned a {type(dataset).__name__}, not a Dataset")
    return dataset


def assemble(
    name: str,
    title: str,
    classes: tuple[str, ...],
    source: str,
    train: Split,
    held: int,
    test: Split,
) -> Dataset:
    """A `Dataset` whose last `held` training images are the validation split.

    Raises:
        InvalidData: images and labels differ in number, or a label names no class.
    """
    for part, split in (("training", train), ("test", test)):
        if len(split.images) != len(split.labels):
            raise InvalidData(
                f"{name}: {len(split.images)} {part} images but {len(split.labels)} labels"
            )
        for label in (int(split.labels.min()), int(split.labels.max())):
            if not 0 <= label < len(classes):
                raise InvalidData(
                    f"{name}: a {part} label is {label}, "
                    f"but there are {len(classes)} classes, numbered from 0"
                )
    digest = hashlib.sha256()
    for tensor in (train.images, train.labels, test.images, test.labels):
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    cut = len(train) - held
    return Dataset(
        name=name,
        title=title,
        classes=classes,
        train=train.part(0, cut),
        validation=train.part(cut, None),
        test=test,
        source=source,
        sha256=digest.hexdigest(),
    )


def split_of(images: UInt8[Tensor, "n h w"], labels: UInt8[Tensor, " n"]) -> Split:
    """Grey images and byte labels as a `Split`."""
    return Split(images[:, None].contiguous(), labels.to(torch.int64))


def write(path: Path, shape: tuple[int, ...], images: Iterable[NDArray[np.uint8]]) -> None:
    """The images of a split, one after the other, in a file that `mapped` reads.

    Written beside its place and then moved there, so that it is whole or not there at all.

    Args:
        path: ends in ".npy".
        shape: `[n, c, h, w]` of all images.
        images: n of them, `[c, h, w]`.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        # Not through a map: on a full disk that ends the process, and this raises an error.
        with os.fdopen(handle, "wb") as file:
            about = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, about)
            for image in images:
                file.write(image.tobytes())
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def mapped(path: Path, n: int) -> ByteImages | None:
    """The n images of a file, of which memory holds only those that are being looked at.

    None if there is no such file, or it holds something else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # a damaged head can raise almost anything
        return None
    if array.ndim != 4 or len(array) != n or array.dtype != np.uint8:
        return None
    with warnings.catch_warnings():
        # Torch warns that nobody may write into it. Nobody does; and a map that can be written to
        # counts as memory that is taken, so that one larger than memory would be refused.
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)
