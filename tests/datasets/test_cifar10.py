import io
import tarfile
from pathlib import Path

import made_up
import pytest

from unfooled import idx
from unfooled.datasets import cifar10
from unfooled.errors import DataMissing, InvalidData


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / cifar10.ARCHIVE


def test_the_batches_come_in_order_and_the_colours_in_theirs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.archive(path, monkeypatch=monkeypatch, data_batch_1=made_up.batch([7, 3]))
    found = cifar10.cifar10(folder=path.parent)
    assert found.train.labels[:4].tolist() == [7, 3, 0, 1]
    assert [len(split) for split in (found.train, found.validation, found.test)] == [66, 16, 20]
    assert found.train.images[0, :, 0, 0].tolist() == [10, 20, 250]
    assert found.train.images.flatten(2).float().std(2).max() == 0
    assert found.classes[found.train.labels[0]] == "horse"
    assert (found.channels, found.size) == (3, 32)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data_batch_3", None, "holds no cifar-10-batches-bin/data_batch_3.bin"),
        ("test_batch", None, "holds no cifar-10-batches-bin/test_batch.bin"),
        ("test_batch", bytes(3072), "test_batch.bin has 3,072 bytes; it must hold 1 to 10,000"),
        ("test_batch", b"", "test_batch.bin has 0 bytes"),
        ("data_batch_5", bytes(10_001 * 3073), "data_batch_5.bin has 30,733,073 bytes"),
        (
            "data_batch_2",
            made_up.batch([0, 9, 10]),
            "image 2 of cifar-10-batches-bin/data_batch_2.bin has the label 10; there are 10",
        ),
    ],
)
def test_a_batch_that_is_not_what_it_should_be_is_refused(
    path: Path, name: str, content: bytes | None, said: str
) -> None:
    made_up.archive(path, **{name: content})
    with pytest.raises(InvalidData, match=said) as raised:
        cifar10._members(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("keep", [0, 5, 300, -20])
def test_a_truncated_archive_is_refused(path: Path, keep: int) -> None:
    made_up.archive(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidData, match=r"damaged or truncated|not the published"):
        cifar10._members(path)
    with pytest.raises(InvalidData, match=r"not the published"):
        cifar10.cifar10(folder=path.parent)


def test_what_is_no_archive_is_refused(path: Path) -> None:
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(InvalidData, match="damaged or truncated: not a gzip file"):
        cifar10._members(path)


def test_a_whole_archive_that_is_not_the_published_one_is_refused(path: Path) -> None:
    made_up.archive(path)
    with pytest.raises(InvalidData, match="not the published CIFAR-10 archive: its SHA-256 is"):
        cifar10.cifar10(folder=path.parent)


@pytest.mark.parametrize("up", ["../", "/tmp/", "cifar-10-batches-bin/../"])
def test_a_name_that_leads_elsewhere_is_passed_over_and_writes_nothing(path: Path, up: str) -> None:
    names = [f"{up}{name}" for name in made_up.BATCHES]
    made_up.packed(path, dict.fromkeys(names, made_up.batch([1])))
    with pytest.raises(InvalidData, match="holds no cifar-10-batches-bin/data_batch_1"):
        cifar10._members(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_link_is_no_batch(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in made_up.BATCHES:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member, io.BytesIO())
    with pytest.raises(InvalidData, match="holds no"):
        cifar10._members(path)


def test_what_is_nowhere_is_downloaded_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download() -> bool:
        idx.cache_folder().mkdir()
        made_up.archive(idx.cache_folder() / cifar10.ARCHIVE, monkeypatch=monkeypatch)
        return True

    monkeypatch.delenv("UNFOOLED_DATA", raising=False)
    monkeypatch.setattr(cifar10, "_download", download)
    assert cifar10.cifar10(folder=None).source == str(idx.cache_folder())


def test_missing_data_are_met_with_places_the_file_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "_download", lambda: False)
    monkeypatch.setenv("UNFOOLED_DATA", str(tmp_path / "empty"))
    with pytest.raises(DataMissing) as raised:
        cifar10.cifar10(folder=None)
    said = str(raised.value)
    for part in ("empty, ", "no cache", cifar10.ARCHIVE, "SHA-256 c4a38c50", "could not be down"):
        assert part in said
    monkeypatch.setattr(cifar10, "_download", lambda: pytest.fail("it tried to download"))
    with pytest.raises(DataMissing):
        cifar10.cifar10(folder=tmp_path)
