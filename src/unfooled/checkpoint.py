"""Files of weights from anywhere: read without running anything in them, and put into a network.

`.safetensors` holds tensors and nothing else. `.pt` and `.pth` are what `torch.save` writes, a
pickle, which is a program; it is read by an interpreter that builds tensors and refuses all else.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_safetensors
from torch import Tensor, nn

from unfooled import archived
from unfooled.errors import InvalidData, InvalidModel, brief
from unfooled.layers import Standardise

PICKLED = (".pt", ".pth", ".ckpt")
ENDINGS = (".safetensors", *PICKLED)
_UNDER = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put weights
_BEFORE = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile and Lightning
_PICKLES = 5  # at the beginning of a file of torch before 1.6, which was no archive
_NAMED = 3  # keys that an error names


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file.

    Attributes:
        tensors: by their keys.
        sha256: of the file.
        notes: one sentence on each thing that had to be looked for.
    """

    tensors: Mapping[str, Tensor]
    sha256: str
    notes: tuple[str, ...] = ()


def content(path: Path) -> bytes:
    """What a file holds.

    Raises:
        InvalidData: it cannot be read.
    """
    try:
        if path.exists() and not (
            path.is_file() or path.is_dir()
        ):  # a pipe, or a device without an end
            raise InvalidData(f"{path} is no regular file")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # no name of a file has a zero byte in it
        raise InvalidData(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error


def read(path: Path) -> Checkpoint:
    """The weights of a file; nothing in it is run.

    Raises:
        InvalidData: it is missing, damaged, of another kind, or holds more than tensors.
    """
    if path.suffix not in ENDINGS:
        raise InvalidData(
            f"{path} is no file of weights: its name must end in {', '.join(ENDINGS)}"
        )
    raw = content(path)
    sha256 = hashlib.sha256(raw).hexdigest()
    if path.suffix == ".safetensors":
        try:
            return Checkpoint(_finite(path, tensors(raw)), sha256)
        except InvalidData as error:
            raise InvalidData(f"{path}: {error}") from error
    found, notes = _state(path, pickles(path, raw))
    return Checkpoint(_finite(path, found), sha256, notes)


def tensors(raw: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file; no code in it can run.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    try:
        return from_safetensors(raw)
    except Exception as error:  # what its head says is handed to torch, which raises what it likes
        raise InvalidData(f"these are no safetensors, or damaged: {brief(error)}") from error


def pickles(path: Path, raw: bytes) -> Any:
    """What `torch.save` wrote, if it is tensors and plain values; nothing in it is run.

    Raises:
        InvalidData: it is damaged, of another kind, or holds more.
    """
    file = io.BytesIO(raw)
    if raw.startswith(b"PK"):
        parts = archived.parts(path, raw)
        names = {name.rpartition("/")[2]: name for name in parts}
        if "constants.pkl" in names:
            raise InvalidData(
                f"{path} is a TorchScript program, not weights; save model.state_dict(), or the "
                "model by torch.export.save as .pt2"
            )
        for name in parts:
            if name.endswith("data.pkl"):
                archived.pickled(path, parts[name], count=1)
        file = archived.packed(parts)
    else:
        archived.pickled(path, raw, count=_PICKLES)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise almost anything
        # Torch's own sentence would advise to load the file without looking.
        raise InvalidData(f"{path} is damaged, cut off, or not what torch.save writes") from error


def _state(path: Path, found: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict in what was loaded, and where it was."""
    notes: tuple[str, ...] = ()
    for key in _UNDER:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found, notes = found[key], (*notes, f"its weights stand under {key!r}")
    if not isinstance(found, Mapping) or not found:
        raise InvalidData(
            f"{path} holds a {type(found).__name__}, not a state dict; save model.state_dict()"
        )
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InvalidData(
                f"{path} holds no state dict: {key!r} is a {type(value).__name__}, not a tensor; "
                "save model.state_dict()"
            )
    return dict(found), notes


def _finite(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for key, tensor in tensors.items():
        # A tensor may show one number at any number of places.
        if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise InvalidData(f"{path}: {key} is larger than what is stored of it")
        # A byte a number is more than torch can judge.
        shown = tensor.float() if tensor.itemsize == 1 else tensor
        if tensor.is_floating_point() and not bool(shown.isfinite().all()):
            raise InvalidData(f"{path}: {key} holds NaN or infinite numbers; the file is damaged")
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, Tensor], who: str) -> tuple[str, ...]:
    """One sentence on each thing that had to be done to put these weights into that network.

    A prefix that all keys have, and the network's have not, is taken off. The network may stand
    behind a `Standardise` of ours that the weights know nothing of.

    Raises:
        InvalidModel: keys are missing, left over, or of another shape; the first few are named.
    """
    inner, notes = _behind(network, tensors), list[str]()
    own = inner.state_dict()
    for prefix in _BEFORE:
        if all(key.startswith(prefix) for key in tensors) and not any(
            key.startswith(prefix) for key in own
        ):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            notes.append(f"its keys began with {prefix!r}, which was taken off")
    shaped = {
        key: f"{key} {list(tensor.shape)} instead of {list(own[key].shape)}"
        for key, tensor in tensors.items()
        if key in own and tensor.shape != own[key].shape
    }
    try:
        found = inner.load_state_dict(
            {key: tensor for key, tensor in tensors.items() if key not in shaped}, strict=False
        )
    except Exception as error:  # of a network that loads in its own way
        raise InvalidModel(f"these weights do not fit {who}: {brief(error)}") from error
    missing = [key for key in found.missing_keys if key not in shaped]
    parts = (
        ("of another shape", list(shaped.values())),
        ("missing", missing),
        ("not known there", found.unexpected_keys),
    )
    wrong = "; ".join(f"{what}: {_some(keys)}" for what, keys in parts if keys)
    if wrong:
        raise InvalidModel(f"these weights do not fit {who}: {wrong}")
    return tuple(notes)


def _behind(network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network itself, or the one behind a `Standardise`, whichever shares more of the keys."""
    ways = [network]
    if type(network) is nn.Sequential and len(network) == 2 and type(network[0]) is Standardise:
        ways.append(network[1])
    ends = {key.split(".", 1)[-1] for key in tensors} | set(tensors)
    return max(ways, key=lambda way: sum(key in ends for key in way.state_dict()))


def _some(keys: list[str]) -> str:
    rest = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
