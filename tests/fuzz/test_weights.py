"""Files of weights and programs, whatever stands in them."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from fuzzed import damaged, forged, survives, tries, zipped
from hypothesis import given
from hypothesis import strategies as st
from loaded import SHAPE
from safetensors.torch import save

from unfooled import checkpoint, exported, loading, model

ABOUT = {"architecture": "toys:pyramid", "dataset": "digits", "recipe": "plain", "seed": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def state() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(3, dtype=torch.int64)}


def torch_saved(*, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": state(), "epoch": 3}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


SAFE = save(state(), {"unfooled": json.dumps(ABOUT)})
HEAD = json.loads(SAFE[8 : 8 + int.from_bytes(SAFE[:8], "little")])
ARCHIVE, LEGACY = torch_saved(zipped=True), torch_saved(zipped=False)
PARTS = {
    n: zipfile.ZipFile(io.BytesIO(ARCHIVE)).read(n)
    for n in zipfile.ZipFile(io.BytesIO(ARCHIVE)).namelist()
}
PICKLED = next(name for name in PARTS if name.endswith("data.pkl"))


def framed(head: object) -> bytes:
    """A safetensors file with that head, and the numbers as they were."""
    raw = json.dumps(head).encode()
    return struct.pack("<Q", len(raw)) + raw + SAFE[8 + int.from_bytes(SAFE[:8], "little") :]


@given(content=damaged([SAFE]) | forged(HEAD).map(framed))
@tries(130)
def test_safetensors(place: Path, content: bytes) -> None:
    (place / "a.safetensors").write_bytes(content)
    survives(checkpoint.read, place / "a.safetensors")
    survives(model.about, content)
    survives(model.weights, content)
    survives(loading.code, str(place / "a.safetensors"))


@given(about=forged(ABOUT))
@tries(40)
def test_heads_of_a_run(place: Path, about: object) -> None:
    path = place / "b.safetensors"
    path.write_bytes(save(state(), {"unfooled": json.dumps(about)}))
    survives(loading.code, str(path))
    survives(loading.load, str(path), **SHAPE)


@given(content=damaged([ARCHIVE, LEGACY, pickle.dumps({"a": 1}, 2)]))
@tries(60)
def test_torch_files(place: Path, content: bytes) -> None:
    (place / "a.pt").write_bytes(content)
    survives(checkpoint.read, place / "a.pt")


@given(
    inside=damaged([PARTS[PICKLED]]),
    how=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
@tries(130)
def test_pickles_in_a_whole_archive(place: Path, inside: bytes, how: int) -> None:
    """Its checksums are right, so that what stands in it is met."""
    (place / "a.pt").write_bytes(zipped({**PARTS, PICKLED: inside}, how))
    survives(checkpoint.read, place / "a.pt")


@pytest.fixture(scope="module")
def parts(program: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(program) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@given(data=st.data())
@tries(25)
def test_programs(place: Path, parts: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(parts)))
    if name.endswith(".json"):
        inside = json.dumps(data.draw(forged(json.loads(parts[name])))).encode()
    else:
        inside = data.draw(damaged([parts[name]]))
    (place / "a.pt2").write_bytes(zipped({**parts, name: inside}))
    survives(exported.load, place / "a.pt2")


def test_what_is_fuzzed_is_read_when_it_is_whole(place: Path, program: Path) -> None:
    for name, content in (("w.safetensors", SAFE), ("w.pt", ARCHIVE), ("v.pt", LEGACY)):
        (place / name).write_bytes(content)
        assert survives(checkpoint.read, place / name)
    assert survives(exported.load, program)
