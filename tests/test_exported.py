import contextlib
import io
import json
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
import toys
from loaded import SHAPE, Runs, exported, load, refused
from torch import nn

from unfooled import attack, model
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.threat import Threat


def test_an_exported_program_answers_and_gives_gradients_as_the_network_does(program: Path) -> None:
    network = model.build("toys:dropping", **SHAPE, seed=5).eval()
    found = load(program)
    assert (found.knows, len(str(found.sha256))) == ("gradients", 64)
    images = toys.pictures(7)
    torch.testing.assert_close(predict(found.network, images), predict(network, images))
    attacked = attack.find("pgd", steps=2)
    labels = toys.read_by(network, images)
    threat = Threat("Linf", 0.2)
    both = [
        attacked.run(one, images, labels, threat, draws=Draws(0, "x"))
        for one in (found.network, network)
    ]
    torch.testing.assert_close(*both)


def test_a_program_for_one_size_of_batch_is_refused(tmp_path: Path, network: nn.Module) -> None:
    path = exported(network, tmp_path / "one.pt2", batch=None)
    assert "dynamic_shapes" in refused(path, "for batches of 2 alone")


def test_a_program_in_train_mode_is_refused(tmp_path: Path) -> None:
    network = model.build("toys:dropping", **SHAPE, seed=5).train()
    refused(exported(network, tmp_path / "train.pt2"), "exported in train mode")


def changed(program: Path, path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The same archive with other parts."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


def test_a_program_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, program: Path
) -> None:
    mark = tmp_path / "ran"

    def inputs(name: str, part: bytes) -> bytes:
        return pickle.dumps(Runs(mark)) if name.endswith("sample_inputs/model.pt") else part

    def operator(name: str, part: bytes) -> bytes:
        return part.replace(b"torch.ops.aten.relu.default", b"torch.serialization.os.system")

    def size(name: str, part: bytes) -> bytes:
        if not name.endswith("model.json"):
            return part
        evil = json.dumps(f"__import__('os').system('touch {mark}')").encode()
        return re.sub(rb'"expr_str": "[^"]+"', b'"expr_str": ' + evil, part)

    def weight(name: str, part: bytes) -> bytes:
        return part.replace(b'"use_pickle": false', b'"use_pickle": true')

    for number, change in enumerate((inputs, operator, size, weight)):
        path = changed(program, tmp_path / f"{number}.pt2", change)
        assert path.read_bytes() != program.read_bytes()
        refused(path, "was not loaded: it holds .* could run code")
    assert not mark.exists()


def directory(raw: bytes) -> tuple[int, int, int]:
    """Where an archive's directory begins and ends, and how many parts it lists."""
    end = raw.rfind(b"PK\5\6")
    count, size, start = struct.unpack("<HII", raw[end + 10 : end + 20])
    assert end == start + size
    return start, end, count


def two_faced(shown: bytes, hidden: bytes) -> bytes:
    """An archive in which Python finds the parts of one, and torch those of another."""
    (start, end, count), (first, last, _) = directory(shown), directory(hidden)
    assert end - start == last - first
    # Python takes the directory that lies before the end, torch the one that the end points to.
    moved, place = bytearray(shown[start:end]), 0
    while place < len(moved):
        offset = struct.unpack("<I", moved[place + 42 : place + 46])[0] + first - start
        moved[place + 42 : place + 46] = struct.pack("<I", offset % 2**32)
        place += 46 + sum(struct.unpack("<HHH", moved[place + 28 : place + 34]))
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, end - start, first, 0)
    return hidden[:last] + shown[:start] + moved + tail


def test_an_archive_that_shows_torch_other_parts_than_python_runs_nothing(
    tmp_path: Path, program: Path
) -> None:
    mark, saved = tmp_path / "ran", io.BytesIO()
    torch.save(Runs(mark), saved)

    def evil(name: str, part: bytes) -> bytes:
        if "weights/weight_" in name:
            return saved.getvalue()
        return part.replace(b'"use_pickle": false', b'"use_pickle": true')

    shown = changed(program, tmp_path / "shown.pt2", lambda name, part: part)
    hidden = changed(program, tmp_path / "hidden.pt2", evil)
    path = tmp_path / "both.pt2"
    path.write_bytes(two_faced(shown.read_bytes(), hidden.read_bytes()))
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert mark.exists()  # torch by itself runs it
    mark.unlink()
    network = load(path).network
    images = toys.pictures(3)
    assert torch.equal(predict(network, images), predict(load(program).network, images))
    assert not mark.exists()


def test_a_damaged_program_is_refused(tmp_path: Path, program: Path) -> None:
    whole = program.read_bytes()
    (tmp_path / "short.pt2").write_bytes(whole[:-400])
    refused(tmp_path / "short.pt2", "damaged or cut off|no file of torch.export.save")
    (tmp_path / "other.pt2").write_bytes(b"no program")
    refused(tmp_path / "other.pt2", "no file of torch.export.save")
    torch.save({"w": torch.ones(2)}, tmp_path / "weights.pt2")
    refused(tmp_path / "weights.pt2", "no file of torch.export.save")


def test_a_program_for_other_images_is_refused(program: Path) -> None:
    refused(program, "cannot read 1 x 9 x 9 images", size=9)
    refused(program, "returns 3 logits for 4 classes", classes=4)
