"""The files of an attack: images and facts as safetensors, a picture of each, a contact sheet.

`SHA256SUMS` has the hash of each, as `sha256sum --check` reads it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from unfooled import __version__, model, store
from unfooled.crafting import Crafted, Order, Saved
from unfooled.errors import RunRefused, UnfooledError
from unfooled.sheet import as_bytes, png, sheet

TENSORS, SHEET, SUMS = "adversarial.safetensors", "sheet.png", "SHA256SUMS"


def ready(folder: Path) -> None:
    """Whether files can be written to a folder, which is made: before the work, not after it.

    Raises:
        RunRefused: they cannot.
    """
    try:
        (folder / "png").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRefused(
            f"cannot write to {folder}: {error.strerror}; choose another by --out"
        ) from error
    store.write(folder / "png" / "writable", b"")
    (folder / "png" / "writable").unlink()


def save(crafted: Crafted, folder: Path) -> list[Path]:
    """The files of an attack, each written whole; those of an earlier one are replaced.

    Returns:
        `adversarial.safetensors`, `sheet.png`, the folder `png` with a picture for each row, and
        `SHA256SUMS`.

    Raises:
        RunRefused: the disk is full or the folder cannot be written.
    """
    ready(folder)
    old = _pictures_in(folder / TENSORS)
    facts = crafted.facts
    names = pictures(facts.ids, facts.targets)
    pictured = zip(names, as_bytes(crafted.rounded), strict=True)
    files = {f"png/{name}": png(picture) for name, picture in pictured}
    for name, content in files.items():
        _put(folder / name, content)
    files |= {SHEET: sheet(crafted), TENSORS: packed(crafted)}
    for name in (SHEET, TENSORS):
        store.write(folder / name, files[name])
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    store.write(folder / SUMS, "".join(sums).encode())
    # Last, and only what an earlier attack says that it wrote: nobody else's files.
    for name in old - set(names):
        (folder / "png" / name).unlink(missing_ok=True)
    return [folder / TENSORS, folder / SHEET, folder / "png", folder / SUMS]


def _put(path: Path, content: bytes) -> None:
    """A whole file or none; unlike `store.write` it does not wait for the disk at each of many."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise RunRefused(
            f"cannot write to {path.parent}: {error.strerror}; choose another by --out"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def packed(crafted: Crafted) -> bytes:
    """The images and the facts as safetensors; `model.about` reads what is in its head."""
    facts = crafted.facts
    tensors = {"images": crafted.images, "adversarial": crafted.adversarial}
    for name in ("ids", "labels", "targets", "clean"):
        if (value := getattr(facts, name)) is not None:
            tensors[name] = torch.from_numpy(value)
    for name in ("read_as", "read_at_8bit", "distance", "inside", "inside_at_8bit"):
        tensors[name] = torch.from_numpy(getattr(facts, name)[0].copy())
    for name in ("forward", "backward", "until"):
        tensors[name] = torch.from_numpy(getattr(facts, name)[0].copy())
    about = {**_about(crafted.order), **_about_model(crafted.saved), "unfooled": __version__}
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return to_bytes(whole, {"unfooled": json.dumps(about, sort_keys=True)})


def _about(order: Order) -> dict[str, Any]:
    options = {k: v for k, v in order.attack.all_options.items() if k != "surrogates"}
    return {
        "attack": order.attack.name,
        "options": options,
        "norm": order.threat.norm,
        "eps": str(order.threat.eps),  # JSON has no infinity
        "aimed": order.aimed,
        "seed": order.seed,
        "surrogates_sha256": [one.sha256 for one in order.surrogates],
    }


def _about_model(saved: Saved) -> dict[str, Any]:
    return {
        "asked": dict(saved.asked),
        "model": saved.path.name,
        "model_sha256": saved.sha256,
        "dataset": saved.data.name,
        "dataset_sha256": saved.data.sha256,
    }


def pictures(ids: Any, wanted: Any) -> list[str]:
    """Their names: the image's place among the test images, and its target."""
    if wanted is None:
        return [f"{int(one)}.png" for one in ids]
    return [f"{int(one)}-to-{int(aim)}.png" for one, aim in zip(ids, wanted, strict=True)]


def _pictures_in(path: Path) -> set[str]:
    """Names of the pictures that belong to an earlier attack; none where there is no such file."""
    try:
        tensors: Mapping[str, Tensor] = model.weights(path.read_bytes())
        return set(pictures(tensors["ids"], tensors.get("targets")))
    except (OSError, UnfooledError, KeyError):
        return set()
