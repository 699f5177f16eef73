import json
import pickle
import re
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
