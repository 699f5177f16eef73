import io
import os
import struct
import sys
import zlib
from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
from PIL import Image

from unfooled import dataset, idx
from unfooled.datasets import image_folder as here
from unfooled.datasets.image_folder import image_folder
from unfooled.errors import DataMissing, InvalidData, InvalidOption


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """20 cats and 10 dogs, 8 x 8, grey."""
    made_up.pictures(tmp_path / "pets", {"cat": 20, "dog": 10})
    return tmp_path / "pets"


def kept() -> list[Path]:
    return sorted((idx.cache_folder() / "image_folder").iterdir())


def test_each_class_is_dealt_out_to_three_splits(root: Path) -> None:
    found = image_folder(folder=root)
    assert found.classes == ("cat", "dog")
    assert found.title == "pets"
    assert found.train.labels.bincount().tolist() == [15, 7]
    assert found.validation.labels.bincount().tolist() == [1, 1]
    assert found.test.labels.bincount().tolist() == [4, 2]


def test_every_image_is_there_once_with_its_own_pixels_and_label(root: Path) -> None:
    found = image_folder(folder=root)
    splits = (found.train, found.validation, found.test)
    seen = {
        (bytes(image.numpy().tobytes()), int(label))
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    }
    wanted = {
        (np.asarray(Image.open(path)).tobytes(), ["cat", "dog"].index(path.parent.name))
        for path in root.rglob("*.png")
    }
    assert seen == wanted


def test_the_place_of_the_folder_and_the_order_of_its_files_decide_nothing(
    root: Path, tmp_path: Path
) -> None:
    before = image_folder(folder=root)
    other = tmp_path / "elsewhere"
    for path in sorted(root.rglob("*.png"), reverse=True):
        (other / path.parent.name).mkdir(parents=True, exist_ok=True)
        (other / path.parent.name / path.name).write_bytes(path.read_bytes())
    assert image_folder(folder=other).sha256 == before.sha256


def test_the_first_images_of_a_split_are_of_all_classes(root: Path) -> None:
    assert set(image_folder(folder=root).train.labels[:8].tolist()) == {0, 1}


def test_train_and_test_are_taken_as_they_are(tmp_path: Path) -> None:
    made_up.pictures(tmp_path / "train", {"cat": 20, "dog": 2})
    made_up.pictures(tmp_path / "test", {"cat": 3, "dog": 1})
    found = image_folder(folder=tmp_path)
    assert found.train.labels.bincount().tolist() == [18, 1]
    assert found.validation.labels.bincount().tolist() == [2, 1]
    assert found.test.labels.bincount().tolist() == [3, 1]


def test_one_image_with_colours_gives_all_three_channels(root: Path) -> None:
    made_up.picture(root / "dog" / "red.png", mode="RGB")
    found = image_folder(folder=root)
    assert found.channels == 3
    grey = found.train.images.float().std(1).amax((1, 2)) == 0
    assert int((~grey).sum()) <= 1
    assert int(grey.sum()) >= len(found.train) - 1


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_every_usual_kind_are_read(root: Path, mode: str) -> None:
    ending = "jpg" if mode == "CMYK" else "png"
    Image.new(mode, (8, 8)).save(root / "dog" / f"new.{ending}")
    assert image_folder(folder=root).channels == (1 if mode in ("1", "LA") else 3)


def test_a_size_brings_all_to_one_cut_around_the_middle(root: Path) -> None:
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 200
    Image.fromarray(wide).save(root / "dog" / "wide.png")
    found = dataset.find("image_folder", folder=root, size=8)
    splits = (found.train, found.validation, found.test)
    whole = torch.cat([split.images for split in splits])
    assert whole.shape == (31, 1, 8, 8)
    assert int((whole[:, :, 1:-1, 1:-1].flatten(1).min(1).values == 200).sum()) == 1


def test_the_option_is_checked(root: Path) -> None:
    with pytest.raises(InvalidOption, match="from 1 to 4096 pixels, not 0"):
        image_folder(folder=root, size=0)
    with pytest.raises(InvalidOption, match="size must be int"):
        dataset.find("image_folder", folder=root, size="large")


def test_hidden_files_and_other_files_are_no_images(root: Path) -> None:
    before = image_folder(folder=root).sha256
    (root / ".git").mkdir()
    (root / "cat" / "._1.png").write_bytes(b"of another system")
    (root / "cat" / "notes.txt").write_text("which are the cats")
    (root / "list.csv").write_text("a,b")
    assert image_folder(folder=root).sha256 == before


def test_images_further_down_belong_to_their_class(root: Path) -> None:
    made_up.picture(root / "cat" / "siamese" / "a.png")
    assert len(image_folder(folder=root).train) == len(list(root.rglob("*.png"))) - 6 - 2


# What cannot be read.


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that promises side x side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def good() -> bytes:
    """A PNG of 8 x 8 pixels of noise."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


GOOD = good()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "cannot be read as an image", id="empty"),
        pytest.param(b"GIF89a not an image", "cannot be read as an image", id="another kind"),
        pytest.param(GOOD[:70], "cannot be read as an image", id="truncated"),
        pytest.param(GOOD[:45] + b"\xff\xff" + GOOD[47:], "cannot be read as an image", id="flip"),
        pytest.param(bomb(5000), "is 5000 x 5000 pixels; at most 4096 a side", id="large"),
        pytest.param(bomb(12_000), "is 12000 x 12000 pixels; at most 4096", id="larger"),
        pytest.param(bomb(60_000), "cannot be read as an image", id="bomb"),
    ],
)
def test_a_broken_or_huge_image_is_refused_by_name(root: Path, content: bytes, said: str) -> None:
    path = root / "dog" / "bad.png"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=said) as raised:
        image_folder(folder=root)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not idx.cache_folder().exists() or not kept()


def test_more_than_8_bits_are_refused(root: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(root / "dog" / "deep.png")
    with pytest.raises(InvalidData, match=r"deep.png has pixels of the kind I;16, not of 8 bits"):
        image_folder(folder=root)


def test_the_first_file_of_another_size_is_named_with_the_way_out(root: Path) -> None:
    made_up.picture(root / "dog" / "3.png", side=9)
    made_up.picture(root / "dog" / "5.png", side=7)
    with pytest.raises(
        InvalidData, match=r"dog/3.png is 9 x 9 pixels, .* as 0.png is; a data set function"
    ):
        image_folder(folder=root)


def test_an_image_that_is_not_square_is_named(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 6)).save(tmp_path / f"{name}.png")
    with pytest.raises(InvalidData, match=r"a/1.png is 8 x 6 pixels, and all images must be squ"):
        image_folder(folder=tmp_path)


def test_folders_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="at least two classes, and holds none"):
        image_folder(folder=tmp_path)
    made_up.pictures(tmp_path, {"cat": 5})
    with pytest.raises(InvalidData, match="at least two classes, and holds cat"):
        image_folder(folder=tmp_path)
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "a.txt").write_text("no image")
    with pytest.raises(InvalidData, match=r"class folder .*dog holds no image"):
        image_folder(folder=tmp_path)
    made_up.pictures(tmp_path, {"dog": 2})
    with pytest.raises(InvalidData, match=r"class dog in .* needs at least 3 images .* and has 2"):
        image_folder(folder=tmp_path)


def test_train_and_test_must_both_be_there_with_the_same_classes(tmp_path: Path) -> None:
    made_up.pictures(tmp_path / "train", {"cat": 5, "dog": 5})
    with pytest.raises(InvalidData, match="has a folder train, and must have both"):
        image_folder(folder=tmp_path)
    made_up.pictures(tmp_path / "test", {"cat": 5, "cow": 5})
    with pytest.raises(InvalidData, match="the class cow is only in one of"):
        image_folder(folder=tmp_path)
    made_up.pictures(tmp_path / "test", {"dog": 1})
    made_up.pictures(tmp_path / "train", {"cow": 1})
    with pytest.raises(InvalidData, match=r"class cow in .* needs at least 2 images"):
        image_folder(folder=tmp_path)


def test_the_folder_is_named_by_the_argument_or_the_environment(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNFOOLED_DATA", raising=False)
    with pytest.raises(DataMissing, match="name it by --data or UNFOOLED_DATA"):
        image_folder(folder=None)
    monkeypatch.setenv("UNFOOLED_DATA", str(root))
    assert image_folder(folder=None).source == str(root)
    with pytest.raises(DataMissing, match="there is no folder"):
        image_folder(folder=tmp_path / "nowhere")


# What is kept.


def inside(line: str, place: int) -> bool:
    low, high = (int(end, 16) for end in line.split()[0].split("-"))
    return low <= place < high


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says what is mapped")
def test_the_images_stay_in_the_file_until_they_are_looked_at(root: Path) -> None:
    found = image_folder(folder=root)
    (path,) = kept()
    for split in (found.train, found.validation, found.test):
        maps = Path("/proc/self/maps").read_text().splitlines()
        (mapped,) = [line for line in maps if inside(line, split.images.data_ptr())]
        assert " r--s " in mapped  # only read, and the file's own pages
        assert mapped.endswith(str(path))


def test_images_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image_folder(folder=root).sha256
    monkeypatch.setattr(here, "_opened", lambda path: pytest.fail("it decoded again"))
    assert image_folder(folder=root).sha256 == before


def test_a_changed_folder_is_decoded_again_and_the_old_file_goes(root: Path) -> None:
    before = image_folder(folder=root).sha256
    old = kept()
    made_up.picture(root / "cat" / "0.png", value=1)
    os.utime(root / "cat" / "0.png", ns=(1, 1))
    assert image_folder(folder=root).sha256 != before
    assert len(kept()) == 1
    assert kept() != old
    image_folder(folder=root, size=4)
    assert len(kept()) == 2


def test_a_file_in_the_cache_that_is_cut_off_is_made_again(root: Path) -> None:
    before = image_folder(folder=root).sha256
    (path,) = kept()
    path.write_bytes(path.read_bytes()[:300])
    assert image_folder(folder=root).sha256 == before


def test_a_full_disk_is_told_with_the_way_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 10

    monkeypatch.setattr(here.shutil, "disk_usage", lambda path: Full)
    with pytest.raises(InvalidData, match="10 bytes left, and the decoded images need 1,920; XDG"):
        image_folder(folder=root)


def test_a_cache_that_cannot_be_written_is_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr(idx, "cache_folder", lambda: tmp_path / "a file")
    with pytest.raises(InvalidData, match="cannot be written: Not a directory"):
        image_folder(folder=root)
