"""What is in the file of a job: a head of JSON, or arrays without pickles.

Anybody may have written it. So what it says of its own size is looked at before anything of it is
unpacked, and no file takes more memory than `room` grants it.
"""

import io
import math
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from unfooled import model
from unfooled.errors import InvalidData, brief

Arrays = dict[str, NDArray[Any]]
_LEAST, _TIMES = 2**26, 64  # bytes that every file may take, and how often its own size
_KINDS = "biufU"  # of numpy's types: truth values, numbers and text
_LETTERS = 0x10FFFF  # the last of Unicode
_HEAD = 128  # bytes before an array, at the least


def head(content: bytes) -> dict[str, Any]:
    """What the file of a training or of a loading tells about its network.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    if not content.startswith(b"{"):
        return model.about(content)
    try:
        return dict(from_json(content))
    except ValueError as error:
        raise InvalidData(f"it is damaged: {brief(error)}") from error


def room(content: bytes) -> int:
    """Bytes that a file of facts may take unpacked: 64 MiB, or 64 times its own size."""
    return max(_LEAST, _TIMES * len(content))


def unpacked(content: bytes, only: str | None = None) -> Arrays:
    """The arrays of a facts file, or only the one of that name.

    Raises:
        InvalidData: it is damaged, holds anything but arrays of numbers and text, or would take
            more memory than `room`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > room(content):
                raise InvalidData(f"unpacked it would take more than {room(content):,} bytes")
            names = {part.filename.removesuffix(".npy"): part for part in parts}
            return {
                name: _array(archive, part) for name, part in names.items() if only in (None, name)
            }
    except InvalidData:
        raise
    except Exception as error:  # a damaged archive can raise almost anything
        raise InvalidData(f"it is no file of facts, or damaged: {brief(error)}") from error


def _array(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, whose head must promise what the archive's directory does."""
    with archive.open(part) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise InvalidData(f"{part.filename!r} in it is of another version of numpy's format")
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        # A side of 0 must not hide the others, which are walked all the same.
        sides = math.prod(max(side, 1) for side in shape)
        if kind.kind not in _KINDS or sides * max(kind.itemsize, 1) > max(part.file_size, _HEAD):
            raise InvalidData(f"{part.filename!r} in it is not what its head promises")
    with archive.open(part) as file:
        found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    if found.dtype.kind == "U":
        # Numpy takes any number for a letter, and Python comes to grief on it much later.
        letters = np.frombuffer(found.tobytes(), np.dtype(np.uint32).newbyteorder(kind.byteorder))
        if ((letters > _LETTERS) | ((letters >= 0xD800) & (letters < 0xE000))).any():
            raise InvalidData(f"{part.filename!r} in it holds no text")
    return found


def packed(arrays: Arrays) -> bytes:
    """The inverse of `unpacked`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type] # none is `allow_pickle`
    content = buffer.getvalue()
    if sum(array.nbytes + _HEAD for array in arrays.values()) <= room(content):
        return content
    return stored(arrays)  # almost all of it is zeros, and nobody would believe it packed so small


def stored(arrays: Arrays) -> bytes:
    """As `packed`, for what gets no smaller, such as weights."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # none is `allow_pickle`
    return buffer.getvalue()
