import zipfile
from pathlib import Path

import made_up
import pytest
import torch

from unfooled import idx
from unfooled.datasets.emnist import HASHES, emnist
from unfooled.errors import DataMissing, InvalidData


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made_up.idx_files(tmp_path / "gzip", HASHES, monkeypatch)
    return tmp_path


def zipped(folder: Path) -> Path:
    """As NIST publishes it: the files in one archive, which is stored and not packed again."""
    path = folder / "gzip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in HASHES:
            archive.write(folder / "gzip" / file, f"gzip/{file}")
            (folder / "gzip" / file).unlink()
    (folder / "gzip").rmdir()
    return path


def test_the_digits_stand_upright(folder: Path) -> None:
    lying = idx.read(folder / "gzip" / next(iter(HASHES)), 3)
    found = emnist(folder=folder)
    assert torch.equal(found.train.images[:, 0], lying[:80].transpose(1, 2))
    assert found.train.images.is_contiguous()
    assert [len(split) for split in (found.train, found.validation, found.test)] == [80, 20, 30]


@pytest.mark.parametrize("below", ["", "EMNIST/raw"])
def test_the_archive_need_not_be_unpacked(folder: Path, below: str) -> None:
    before = emnist(folder=folder)
    path = zipped(folder)
    (folder / below).mkdir(parents=True, exist_ok=True)
    path.rename(folder / below / path.name)
    found = emnist(folder=folder)
    assert found.sha256 == before.sha256
    assert "gzip.zip" in found.source


def test_a_damaged_archive_is_refused(folder: Path) -> None:
    path = zipped(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(InvalidData, match=r"gzip\.zip is damaged or truncated"):
        emnist(folder=folder)
    path.write_bytes(whole[:150] + bytes(50) + whole[200:])
    with pytest.raises(InvalidData, match="is damaged or truncated"):
        emnist(folder=folder)


def test_a_file_that_is_not_the_published_one_is_refused_by_its_md5(folder: Path) -> None:
    path = folder / "gzip" / "emnist-digits-test-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InvalidData, match="not the published EMNIST Digits file: its MD5 is"):
        emnist(folder=folder)


def test_missing_files_are_named_with_the_archive_that_holds_them(tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as raised:
        emnist(folder=tmp_path)
    for part in ("emnist-digits-train-images-idx3-ubyte.gz (MD5 d2662e", "gzip.zip", "digits"):
        assert part in str(raised.value)
