"""What every test can ask for."""

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
import toys
from torch import nn

from unfooled.dataset import Dataset
from unfooled.shapes import Images, Labels

# Threads cost more than they bring on tensors this small.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_data_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's cache decides nothing, and nothing is downloaded."""
    monkeypatch.setattr("unfooled.idx.cache_folder", lambda: tmp_path / "no cache")
    monkeypatch.setattr("unfooled.idx._download", lambda loader: False)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """What a user meets: the annotations are not checked, so the library's own errors show."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def plane() -> toys.Plane:
    """Two classes, divided by a plane."""
    return toys.plane()


@pytest.fixture
def net() -> nn.Module:
    """A smooth network of three classes, in train mode."""
    return toys.net()


@pytest.fixture
def images() -> Images:
    """24 images that no change up to 0.3 moves out of [0, 1]."""
    return toys.pictures(24, low=0.3, high=0.7)


@pytest.fixture
def labels(plane: toys.Plane, images: Images) -> Labels:
    """As the plane reads them."""
    return toys.read_by(plane, images)


@pytest.fixture(scope="session")
def striped() -> Dataset:
    """300 + 90 images of stripes in three classes."""
    return toys.striped()
