import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import toys

from unfooled import packing
from unfooled.errors import InvalidData

ARRAYS = {"ids": np.arange(5), "name": np.array("pgd"), "inside": np.zeros((2, 5), dtype=bool)}


def archive(how: int = zipfile.ZIP_DEFLATED, **parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        for name, part in parts.items():
            made.writestr(f"{name}.npy", part)
    return file.getvalue()


def array(shape: tuple[int, ...], kind: str, content: bytes = b"") -> bytes:
    """An array with any head."""
    file = io.BytesIO()
    head = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    return file.getvalue() + content


def test_arrays_come_back_as_they_were() -> None:
    found = packing.unpacked(packing.packed(ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, one in ARRAYS.items():
        assert np.array_equal(found[name], one)
        assert found[name].dtype == one.dtype


def test_what_packs_too_well_to_be_believed_is_written_as_it_is() -> None:
    zeros = {"adversarial": np.zeros((200, 3, 200, 200), dtype=np.float32)}
    content = packing.packed(zeros)
    assert len(content) > zeros["adversarial"].nbytes
    assert np.array_equal(packing.unpacked(content)["adversarial"], zeros["adversarial"])


@pytest.mark.parametrize(
    "content",
    [
        archive(a=bytes(2**27)),
        archive(a=array((2**40,), "<f8")),
        archive(a=array((2**40, 0), "<f8")),
        archive(a=array((2**40,), "<U0")),
        archive(a=array((4,), "|O", b"\x80\x02N.")),
        archive(a=array((2, 2), "<f8", bytes(31))),
        archive(a=array((2,), "<U1", b"a\0\0\0\0\0\x11\0")),
        archive(a=array((1,), "<U1", b"\0\xd8\0\0")),
        archive(a=b"\x93NUMPY\x03\x00" + bytes(40)),
        archive(a=b"\x93NUMPY\x01\x00\xff\xff{" + b"-" * 60000 + b"1"),
    ],
    ids=[
        "bomb",
        "shape",
        "side of 0",
        "no text",
        "pickle",
        "short",
        "letter",
        "surrogate",
        "version",
        "nested",
    ],
)
def test_what_asks_for_more_than_it_holds_is_refused_before_it_is_unpacked(content: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(InvalidData):
        packing.unpacked(content)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**22


def test_heads_are_told_or_refused(tmp_path: Path) -> None:
    assert packing.head(json.dumps({"a": 1}).encode()) == {"a": 1}
    assert packing.head(toys.saved(tmp_path / "a").read_bytes())["dataset"] == "toys:striped"
    for content in (b"{", b'{"a":' * 9000, b"", b"\xff" * 40):
        with pytest.raises(InvalidData):
            packing.head(content)
