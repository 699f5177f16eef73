"""What an attack left behind in its folder, and the network that it was made for, found again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfooled import catalog, checkpoint, crafting, exhibit, loading, model
from unfooled.crafting import Saved
from unfooled.errors import InvalidData, UnfooledError, brief
from unfooled.threat import Threat

_TENSORS = {
    "images": torch.float32,
    "adversarial": torch.float32,
    "ids": torch.int64,
    "labels": torch.int64,
    "clean": torch.int64,
    "read_as": torch.int64,
    "read_at_8bit": torch.int64,
    "distance": torch.float64,
    "inside": torch.bool,
    "inside_at_8bit": torch.bool,
}


@dataclass(frozen=True)
class Kept:
    """What an attack left behind.

    Attributes:
        folder: where it lies.
        tensors: images and facts, by name.
        about: how they were made, for whom and of what.
        threat: that they were made under.
    """

    folder: Path
    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]
    threat: Threat

    @property
    def pictures(self) -> list[str]:
        """The name of each row's picture."""
        return exhibit.pictures(self.tensors["ids"], self.tensors.get("targets"))


def read(folder: Path) -> Kept:
    """The images and facts of an attack's folder.

    Raises:
        InvalidData: there are none, or they cannot be read.
    """
    path = folder / exhibit.TENSORS
    if not path.is_file():
        raise InvalidData(
            f"{folder} holds neither {exhibit.TENSORS} nor ledger.sqlite: it is no folder of "
            "unfooled attack, and none of a study"
        )
    content = checkpoint.content(path)
    try:
        tensors, about = model.weights(content), model.about(content)
        threat = Threat(str(about["norm"]), float(about["eps"]))
        _check(about)
    except (UnfooledError, KeyError, ValueError, TypeError) as error:
        raise InvalidData(f"{path} is damaged or of another kind: {brief(error)}") from error
    for name, kind in _TENSORS.items():
        if name not in tensors or tensors[name].dtype != kind:
            came = str(tensors[name].dtype) if name in tensors else "nothing"
            raise InvalidData(f"{path}: {name} must be {kind}, not {came}; attack again")
    n = len(tensors["ids"])
    shape = tensors["images"].shape
    if not n or any(len(tensor) != n for tensor in tensors.values()):
        raise InvalidData(f"{path}: its images and facts differ in number, or there are none")
    if len(shape) != 4 or tensors["adversarial"].shape != shape:
        raise InvalidData(f"{path}: its images have the shape {list(shape)}")
    return Kept(folder, tensors, about, threat)


def _check(about: Mapping[str, Any]) -> None:
    """Whether the head says how the images were made, and by which words the network was found."""
    known = {
        "attack": about["attack"],
        **{name: about["asked"][name] for name in ("which", "named")},
        "weights": about["asked"]["weights"] or "",
    }
    for name, value in known.items():
        if not isinstance(value, str):
            raise InvalidData(f"its {name} is {value!r}")


def code(kept: Kept, which: str | None) -> list[str]:
    """The words in its files that name code, which finding the network would run.

    Args:
        which: as in `network`; what the user names is the user's to trust.
    """
    asked = kept.about["asked"]
    words = [asked["named"]] if catalog.runs_code(asked["named"]) else []
    if which is None:
        words += loading.code(asked["which"])
    return list(dict.fromkeys(words))


def network(
    kept: Kept, which: str | None, *, folder: Path | None, device: torch.device, **words: Any
) -> Saved:
    """The network that the images were made for, with its data.

    Args:
        which: another one instead; None takes the words that the attack was given.
        folder: of the data files.
        device: where it shall read.
        words: `weights`, `mean` and `std` of another one, as in `crafting.load`.

    Raises:
        UnknownName, InvalidData, InvalidModel, InvalidOption, DataMissing: as `crafting.load`.
    """
    asked = dict(kept.about["asked"])
    if which is not None:
        named = asked["named"]
        return _fitting(
            kept, crafting.load(which, named=named, folder=folder, device=device, **words)
        )
    if asked["weights"] is not None:
        asked["weights"] = Path(asked["weights"])
    try:
        allow = loading.code(asked["which"])  # whoever called this has asked about it: see `code`
        return _fitting(kept, crafting.load(folder=folder, device=device, allow=allow, **asked))
    except (InvalidData, TypeError) as error:
        raise InvalidData(f"{error}; where the network lies elsewhere now, use --model") from error


def _fitting(kept: Kept, saved: Saved) -> Saved:
    """The network, if its data have images of the same shape."""
    data, came = saved.data, list(kept.tensors["images"].shape[1:])
    if came != [data.channels, data.size, data.size]:
        raise InvalidData(
            f"{kept.folder} holds images {came}, and those of {data.title} are "
            f"{[data.channels, data.size, data.size]}; name the network that they were made for"
        )
    return saved
