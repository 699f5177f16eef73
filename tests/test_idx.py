import contextlib
import gzip
import hashlib
import struct
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import datasets

from unfooled import idx
from unfooled.dataset import Dataset
from unfooled.errors import DataMissing, InvalidData
from unfooled.idx import _download as real_download
from unfooled.idx import cache_folder as real_cache_folder

CLASSES = tuple("0123456789")


def packed(shape: tuple[int, ...], content: bytes, *, magic: bytes | None = None) -> bytes:
    head = magic or bytes((0, 0, 8, len(shape)))
    return gzip.compress(head + struct.pack(f">{len(shape)}I", *shape) + content, mtime=0)


def written(home: Path, *, train: int = 20, test: int = 10, **changed: bytes) -> dict[str, str]:
    """Four files of the family, and their hashes; `changed` replaces one, by its first letters."""
    home.mkdir(parents=True, exist_ok=True)
    contents = {}
    for name, n in (("train", train), ("t10k", test)):
        pixels = bytes(i % 256 for i in range(n * 784))
        contents[f"{name}-images-idx3-ubyte.gz"] = packed((n, 28, 28), pixels)
        contents[f"{name}-labels-idx1-ubyte.gz"] = packed((n,), bytes(i % 10 for i in range(n)))
    for name, content in changed.items():
        contents[next(file for file in contents if file.startswith(name.replace("_", "-")))] = (
            content
        )
    for file, content in contents.items():
        (home / file).write_bytes(content)
    return {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}


def loaded(folder: Path | None, hashes: dict[str, str]) -> Dataset:
    return idx.load("toy", "Toy", CLASSES, hashes, "MNIST", folder)


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNFOOLED_DATA", raising=False)


def test_a_file_made_by_hand_is_read_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(packed((2, 1, 3), bytes([0, 1, 2, 253, 254, 255])))
    found = idx.read(path, 3)
    assert found.dtype == torch.uint8
    assert found.tolist() == [[[0, 1, 2]], [[253, 254, 255]]]


GOOD = packed((4,), b"abcd")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(GOOD[:-9], "damaged or truncated", id="truncated"),
        pytest.param(GOOD[:15], "damaged or truncated", id="cut in the head"),
        pytest.param(GOOD[:12] + b"\xff" + GOOD[13:], "damaged or truncated", id="flipped"),
        pytest.param(GOOD[:-8] + bytes(4) + GOOD[-4:], "damaged or truncated", id="checksum"),
        pytest.param(b"<html>404</html>", "damaged or truncated", id="no gzip"),
        pytest.param(b"", "not an IDX file", id="empty"),
        pytest.param(gzip.compress(b""), "not an IDX file", id="empty inside"),
        pytest.param(
            packed((4,), b"abcd", magic=bytes((0, 0, 13, 1))),
            "begins with 00 00 0d 01, not 00 00 08 01",
            id="floats",
        ),
        pytest.param(packed((1, 2, 2), b"abcd"), "not an IDX file", id="three dimensions"),
        pytest.param(packed((5,), b"abcd"), "promises 5 bytes and holds only 4", id="too few"),
        pytest.param(packed((3,), b"abcd"), "promises 3 bytes and holds more", id="too many"),
        pytest.param(packed((0,), b""), "says that it holds 0 bytes", id="none"),
        pytest.param(packed((2**32 - 1,), b"abcd"), "says that it holds 4294967295", id="4 GB"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=said) as raised:
        idx.read(path, 1)
    assert str(path) in str(raised.value)


@given(
    cut=st.integers(0, len(GOOD) - 1), place=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7)
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_no_damage_ends_in_another_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(GOOD[:cut])
    with pytest.raises(InvalidData):
        idx.read(path, 1)
    flipped = bytearray(GOOD)
    flipped[place] ^= 1 << bit
    path.write_bytes(flipped)
    with contextlib.suppress(InvalidData):
        # A bit of gzip's own head, such as the name of the system, may flip without harm.
        assert bytes(idx.read(path, 1).tolist()) == b"abcd"


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gz", tmp_path):
        with pytest.raises(InvalidData, match="cannot be read"):
            idx.read(path, 1)


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_files_are_found_where_torchvision_puts_them(tmp_path: Path, below: str) -> None:
    hashes = written(tmp_path / below)
    found = loaded(tmp_path, hashes)
    assert (len(found.train), len(found.validation), len(found.test)) == (16, 4, 10)
    assert found.source == str(tmp_path / below)
    assert found.train.images.shape[1:] == (1, 28, 28)
    assert found.test.labels.tolist() == list(range(10))


def test_the_environment_comes_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = written(tmp_path / "cached")
    monkeypatch.setattr(idx, "cache_folder", lambda: tmp_path / "cached")
    assert loaded(None, hashes).source == str(tmp_path / "cached")
    written(tmp_path / "named")
    monkeypatch.setenv("UNFOOLED_DATA", str(tmp_path / "named"))
    assert loaded(None, hashes).source == str(tmp_path / "named")


def test_what_is_nowhere_is_downloaded_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = written(tmp_path / "elsewhere")

    def download(loader: str) -> bool:
        written(tmp_path / "cache" / loader / "raw")
        return True

    monkeypatch.setattr(idx, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(idx, "_download", download)
    assert loaded(None, hashes).source == str(tmp_path / "cache" / "MNIST" / "raw")


def test_one_archive_of_all_files_is_downloaded_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, str]] = []

    def download_url(url: str, root: str, *, md5: str) -> None:
        fetched.append((url, root))

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download_url)
    assert real_download("EMNIST")
    assert fetched == [(datasets.EMNIST.url, str(tmp_path / "no cache" / "EMNIST" / "raw"))]


def test_a_download_that_fails_is_no_error_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def offline() -> None:
        print("0 %")
        raise URLError("no way there")

    assert not idx.quietly(offline)
    assert idx.quietly(lambda: print("100 %"))
    assert capfd.readouterr() == ("", "")


def test_a_named_folder_without_the_files_is_not_replaced_by_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "_download", lambda loader: pytest.fail("it tried to download"))
    with pytest.raises(DataMissing):
        loaded(tmp_path, written(tmp_path / "elsewhere"))


def test_missing_data_are_met_with_places_files_hashes_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = written(tmp_path / "elsewhere")
    monkeypatch.setenv("UNFOOLED_DATA", str(tmp_path / "empty"))
    with pytest.raises(DataMissing) as raised:
        loaded(None, hashes)
    said = str(raised.value)
    for part in (str(tmp_path / "empty"), "no cache", "--dataset digits", "UNFOOLED_DATA"):
        assert part in said
    for file, digest in hashes.items():
        assert f"{file} (SHA-256 {digest})" in said
    assert "\n" not in said


def test_three_of_four_files_are_not_enough(tmp_path: Path) -> None:
    hashes = written(tmp_path)
    (tmp_path / idx.FILES[3]).unlink()
    with pytest.raises(DataMissing):
        loaded(tmp_path, hashes)


def test_a_whole_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    hashes = written(tmp_path)
    written(tmp_path, train_labels=packed((20,), bytes(20)))
    with pytest.raises(InvalidData, match="is not the published Toy file: its SHA-256 is"):
        loaded(tmp_path, hashes)


@pytest.mark.usefixtures("unchecked")
def test_counts_that_disagree_are_refused(tmp_path: Path) -> None:
    hashes = written(tmp_path, t10k_labels=packed((9,), bytes(9)))
    with pytest.raises(InvalidData, match="10 test images but 9 labels"):
        loaded(tmp_path, hashes)


def test_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    hashes = written(tmp_path, train_labels=packed((20,), bytes(19) + b"\x0a"))
    with pytest.raises(InvalidData, match="a training label is 10, but there are 10 classes"):
        loaded(tmp_path, hashes)


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert real_cache_folder() == Path("/some/where/unfooled")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert real_cache_folder() == Path("/home/somebody/.cache/unfooled")
