import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import toys
from loaded import Runs, load, refused
from safetensors.torch import save_file
from torch import nn

from unfooled import checkpoint
from unfooled.errors import UnfooledError
from unfooled.gradients import predict


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize(("under", "prefix"), [("", ""), ("state_dict", "module."), ("model", "")])
def test_weights_are_found_where_training_scripts_put_them(
    tmp_path: Path, network: nn.Module, ending: str, under: str, prefix: str
) -> None:
    state = {prefix + key: value for key, value in network.state_dict().items()}
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(state, path)
    else:
        torch.save({under: state, "epoch": 3} if under else state, path)
    found = load("toys:pyramid", weights=path)
    images = toys.pictures(3)
    assert torch.equal(predict(found.network, images), predict(network, images))
    said = " ".join(found.notes)
    assert ("module." in said) == bool(prefix)
    assert (repr(under) in said) == (bool(under) and ending != ".safetensors")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_runs_code_is_refused_and_runs_nothing(
    tmp_path: Path, network: nn.Module, zipped: bool
) -> None:
    mark, path = tmp_path / "ran", tmp_path / "weights.pt"
    state = {**network.state_dict(), "more": Runs(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    assert "system" in refused("toys:pyramid", "more than weights .* not loaded", weights=path)
    path.write_bytes(pickle.dumps(Runs(mark)))
    refused("toys:pyramid", "damaged, cut off, or not|more than weights", weights=path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()  # it would have


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_truncated_weights_are_refused(tmp_path: Path, network: nn.Module, ending: str) -> None:
    path = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    whole = path.read_bytes()
    for end in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused("toys:pyramid", "damaged|cut off", weights=path)


def test_a_flipped_bit_is_seen_where_there_is_a_checksum(
    tmp_path: Path, network: nn.Module
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    raw = bytearray(path.read_bytes())
    raw[raw.find(network[0].weight.detach().numpy().tobytes()) + 2] ^= 1
    path.write_bytes(raw)
    refused("toys:pyramid", "not what its head or checksum says", weights=path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    state["0.bias"] = state["0.bias"] * torch.nan
    save_file(state, tmp_path / "w.safetensors")
    refused("toys:pyramid", "0.bias holds NaN", weights=tmp_path / "w.safetensors")


def test_weights_of_another_network_are_told_by_their_keys(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Flatten())
    other.append(nn.Linear(4, 3))
    torch.save(other.state_dict(), tmp_path / "w.pt")
    line = refused("toys:pyramid", "do not fit toys:pyramid", weights=tmp_path / "w.pt")
    for part in (
        "0.weight [5, 1, 3, 3] instead of [4, 1, 3, 3]",
        "missing: 3.weight, 3.bias",
        "not known there: 4.weight, 4.bias",
    ):
        assert part in line
    lines = [f"k{n}" for n in range(9)]
    torch.save({key: torch.ones(1) for key in lines}, tmp_path / "w.pt")
    line = refused("toys:pyramid", "do not fit", weights=tmp_path / "w.pt")
    assert "k0, k1, k2 and 6 more" in line


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([1, 2], "holds a list, not a state dict"),
        ({}, "not a state dict"),
        ({"state_dict": {"a": 3}}, "'a' is a int, not a tensor"),
    ],
)
def test_other_things_than_weights_are_refused(tmp_path: Path, made: object, said: str) -> None:
    torch.save(made, tmp_path / "w.pt")
    refused("toys:pyramid", said, weights=tmp_path / "w.pt")


def test_whole_models_in_a_pickle_are_refused(tmp_path: Path, network: nn.Module) -> None:
    torch.save(network, tmp_path / "w.pt")
    line = refused("toys:pyramid", "more than weights", weights=tmp_path / "w.pt")
    assert "model.state_dict()" in line


def test_every_kind_of_weights_has_a_reader() -> None:
    assert set(checkpoint.ENDINGS) == {".safetensors", *checkpoint.PICKLED}


def test_a_part_that_calls_itself_a_folder_is_seen(tmp_path: Path, network: nn.Module) -> None:
    """Torch would read nothing there, and hand out whatever stood in memory as weights."""
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    raw = bytearray(path.read_bytes())
    raw[raw.rfind(b"weights/data/0") - 8] ^= 0x10
    path.write_bytes(raw)
    refused("toys:pyramid", "data/0' in it is not what its head", weights=path)


def bomb(pickled: bytes) -> bytes:
    """An archive as torch writes them, around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", pickled)
        archive.writestr("w/version", "3\n")
    return file.getvalue()


LARGE = b"\x8a\x05" + (2**37).to_bytes(5, "little")  # as a number in a pickle
# A pair of a pair of ... of the same pair, as a key: 2 ** 60 steps to its hash.
FOLDED = b"}))\x86" + b"".join(b"q\x01h\x01\x86" for _ in range(60)) + b"K\x01s."


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"cbuiltins\nbytearray\n" + LARGE + b"\x85R.", r"more than weights \(builtins.bytearray"),
        (b"ctorch\nFloatTensor\n" + LARGE + b"\x85R.", r"more than weights \(torch.FloatTensor"),
        (FOLDED, "unfolds to more than it holds"),
    ],
)
def test_a_few_bytes_that_ask_for_all_memory_or_all_time_are_refused(
    tmp_path: Path, pickled: bytes, said: str
) -> None:
    for raw in (bomb(b"\x80\x02" + pickled), b"\x80\x02" + pickled):
        (tmp_path / "w.pt").write_bytes(raw)
        refused("toys:pyramid", said, weights=tmp_path / "w.pt")


def test_one_number_that_is_shown_as_a_thousand_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1).expand(1000)}, tmp_path / "w.pt")
    refused("toys:pyramid", "w is larger than what is stored", weights=tmp_path / "w.pt")


def test_an_archive_that_is_larger_unpacked_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(10**6))
    refused("toys:pyramid", "larger unpacked", weights=tmp_path / "w.pt")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pt")
    refused("toys:pyramid", "no regular file", weights=tmp_path / "w.pt")


def test_files_of_torch_before_its_archives_are_read(tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    load("toys:pyramid", weights=tmp_path / "w.pt")


def tried(path: Path) -> dict[str, torch.Tensor] | str:
    """The weights that the network has then, or the line in which they are refused."""
    try:
        return load("toys:pyramid", weights=path).network.state_dict()
    except UnfooledError as error:
        return str(error)


@pytest.mark.parametrize(("ending", "changed"), [(".pt", 0), (".safetensors", 1)])
def test_any_flipped_bit_is_refused_in_one_line_or_changes_a_number_alone(
    tmp_path: Path, network: nn.Module, ending: str, changed: int
) -> None:
    """A zip archive has checksums; safetensors has none, and there only its hash tells."""
    path, own = tmp_path / f"weights{ending}", network.state_dict()
    if ending == ".pt":
        torch.save(own, path)
    else:
        save_file(own, path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 1 + len(whole) // 150):
        raw = bytearray(whole)
        raw[place] ^= 1 << place % 8
        path.write_bytes(raw)
        found = tried(path)
        if isinstance(found, str):
            assert "\n" not in found
        else:
            assert sum(bool((found[key] != own[key]).any()) for key in own) <= changed
