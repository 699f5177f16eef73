"""Files of images, whatever stands in them."""

import gzip
import io
import struct
import tracemalloc
from pathlib import Path

import made_up
import numpy as np
import pytest
from fuzzed import damaged, survives, tries
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unfooled import dataset, idx
from unfooled.datasets import cifar10, image_folder
from unfooled.errors import InvalidData


def packed(shape: tuple[int, ...], content: bytes) -> bytes:
    return gzip.compress(
        bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + content, mtime=0
    )


IDX = [packed((4, 3, 3), bytes(36)), packed((9,), bytes(9)), gzip.compress(b"")]
HEADS = st.tuples(*[st.sampled_from([0, 1, 4, 36, 2**16, 2**31, 2**32 - 1])] * 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@given(content=damaged(IDX), dimensions=st.integers(1, 3))
@tries(60)
def test_idx_packed(place: Path, content: bytes, dimensions: int) -> None:
    (place / "a.gz").write_bytes(content)
    survives(idx.read, place / "a.gz", dimensions)


@given(head=HEADS, inside=damaged([bytes(36)]))
@tries(60)
def test_idx_with_any_head(place: Path, head: tuple[int, ...], inside: bytes) -> None:
    (place / "a.gz").write_bytes(packed(head, inside))
    survives(idx.read, place / "a.gz", 3)


def test_a_small_file_cannot_make_a_large_one(place: Path) -> None:
    """Zeros, which pack a thousandfold: what is taken is bounded by the file, or nothing is."""
    path = place / "bomb.gz"
    path.write_bytes(packed((1000, 100, 100), bytes(10**7)))
    tracemalloc.start()
    assert survives(idx.read, path, 3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * 1032 * path.stat().st_size
    path.write_bytes(packed((1000, 1000, 1000), bytes(36)))
    tracemalloc.start()
    with pytest.raises(InvalidData, match="says that it holds 1000 x 1000 x 1000"):
        idx.read(path, 3)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.fixture(scope="module")
def archive(place: Path) -> bytes:
    made_up.archive(place / cifar10.ARCHIVE)
    return gzip.decompress((place / cifar10.ARCHIVE).read_bytes())


@given(data=st.data())
@tries(15)
def test_cifar(place: Path, archive: bytes, data: st.DataObject) -> None:
    path = place / "x.tar.gz"
    path.write_bytes(gzip.compress(data.draw(damaged([archive])), 1))
    survives(cifar10._members, path)


def pictures() -> list[bytes]:
    """One of each kind that is read."""
    made = []
    for kind in ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, kind)
        made.append(file.getvalue())
    return made


@given(content=damaged(pictures()))
@tries(130)
def test_images(place: Path, content: bytes) -> None:
    path = place / "a.png"
    path.write_bytes(content)

    def read() -> None:
        with image_folder._opened(path) as image:
            assert max(image.size) <= 4096
        image_folder._pixels(path, (1, 3, 8, 8))

    survives(read)


@given(
    content=damaged(
        [
            b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 4, 4), }".ljust(117)
            + b"\n"
            + bytes(32)
        ]
    )
)
@tries(60)
def test_images_that_were_decoded_before(place: Path, content: bytes) -> None:
    (place / "a.npy").write_bytes(content)
    found = dataset.mapped(place / "a.npy", 2)
    assert found is None or len(found) == 2
