"""What the tests of networks from words, and of their files, share."""

import os
from pathlib import Path

import pytest
import torch
import toys
from torch import nn

from unfooled import loading
from unfooled.errors import UnfooledError
from unfooled.loading import Loaded

SHAPE = {"channels": 1, "size": toys.SIZE, "classes": 3}
BATCH = ({0: torch.export.Dim("batch")},)


def load(which: object, **options: object) -> Loaded:
    """The network that these words stand for, for the stripes."""
    return loading.load(str(which), **{**SHAPE, **options})


def refused(which: object, said: str, **options: object) -> str:
    """That it is refused in one line which says this; the line."""
    with pytest.raises(UnfooledError, match=said) as raised:
        load(which, **options)
    line = str(raised.value)
    assert "\n" not in line
    return line


def exported(network: nn.Module, path: Path, *, batch: object = BATCH) -> Path:
    program = torch.export.export(network, (torch.rand(2, 1, 8, 8),), dynamic_shapes=batch)
    torch.export.save(program, path)
    return path


class Runs:
    """A pickle that runs a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (os.system, (f"touch {self.path}",))
