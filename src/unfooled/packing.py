"""What is in the file of a job: a head of JSON, or arrays without pickles."""

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfooled import model

Arrays = dict[str, NDArray[Any]]


def head(content: bytes) -> dict[str, Any]:
    """What the file of a training or of a loading tells about its network.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    return dict(json.loads(content)) if content.startswith(b"{") else model.about(content)


def unpacked(content: bytes) -> Arrays:
    """The arrays of a facts file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def packed(arrays: Arrays) -> bytes:
    """The inverse of `unpacked`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type] # none is `allow_pickle`
    return buffer.getvalue()
