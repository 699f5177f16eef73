"""A user's own network from words, ready to be attacked.

MODEL is one of

    runs/mnist/models/plain-0.safetensors   a network of a run
    strided, timm:resnet10t                 a network by its name, see `model.py`
    mine.py:net, package.module:net         a function of the user's own, or an `nn.Module` class
    net.pt2                                 a program that `torch.export.save` wrote
    net.onnx                                an ONNX network; it has no gradient

Those with a name take weights from a file of their own, see `checkpoint.py`.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from unfooled import catalog, checkpoint, exported, model, onnx, store
from unfooled.attack import Attack
from unfooled.errors import (
    InvalidData,
    InvalidModel,
    InvalidOption,
    UnfooledError,
    UnknownName,
    brief,
)
from unfooled.gradients import forward, frozen, home
from unfooled.layers import Standardise
from unfooled.recipe import Given

_RUNS, _EXPORTED, _ONNX = ".safetensors", ".pt2", ".onnx"


@dataclass(frozen=True)
class Loaded:
    """A network, in eval mode on the CPU.

    Attributes:
        network: images in [0, 1] to logits.
        name: the words that it was loaded by.
        knows: what can be had of it: "gradients", or only "scores".
        sha256: of the file of its weights; None where there is none.
        notes: one sentence on each thing that a reader should know about how it was loaded.
    """

    network: nn.Module
    name: str
    knows: str
    sha256: str | None
    notes: tuple[str, ...] = ()

    def takes(self, attack: Attack) -> None:
        """Let only an attack pass that can work on this network.

        Raises:
            InvalidModel: it follows the gradient, and there is none.
        """
        if attack.knows == "gradients" and self.knows != "gradients":
            raise InvalidModel(
                f"{attack.name} follows the gradient, and {self.name} gives none; a black box "
                "attack such as square or hopskipjump would do"
            )


def load(
    which: str,
    *,
    channels: int,
    size: int,
    classes: int,
    weights: Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    allow: Sequence[str] = (),
) -> Loaded:
    """The network that these words stand for.

    Args:
        which: see above.
        channels, size, classes: of the images that it shall read.
        weights: a file for a network with a name; without, its weights are fresh, or what the
            user's function gave it.
        mean, std: of the pixels in [0, 1], one number or one for each channel; a network that does
            not normalise inside is put behind a layer that does.
        allow: code that the head of a file may name and have run, such as "mine.py:net".

    Raises:
        UnknownName: there is no such model, file or function, or a library is missing.
        InvalidData: a file is missing, damaged, of another kind, or could run code.
        InvalidModel: the network does not fit the images, or the weights do not fit the network.
        InvalidOption: weights, mean or std that this network cannot take.
    """
    shape = {"channels": channels, "size": size, "classes": classes}
    before = _normalisation(mean, std, channels)
    ending = Path(which).suffix
    if ending in checkpoint.PICKLED:
        raise InvalidData(
            f"{which} is a file of weights, which does not say what network they belong to; name "
            f"the network, and the file by --weights {which}"
        )
    if ending == ".py":
        raise UnknownName(f"{which} is a file; name the function in it: {which}:FUNCTION")
    if _is_file(which):
        if weights is not None:
            raise InvalidOption(f"{which} holds its own weights; leave out --weights {weights}")
        found = _of_file(Path(which), shape, allow)
    else:
        found = _of_name(which, shape, weights)
    if before is not None and _is_file(which) and ending not in (_EXPORTED, _ONNX):
        raise InvalidOption(f"{which} normalises inside itself; leave out --mean and --std")
    network = _behind(before, found.network).eval()
    return replace(found, network=network, knows=_knows(which, network, shape))


def handed(network: nn.Module, title: str, *, channels: int, size: int, classes: int) -> Loaded:
    """A network that a Python program handed over, as if it had been loaded.

    Raises:
        InvalidModel: it does not fit the images.
    """
    shape = {"channels": channels, "size": size, "classes": classes}
    return Loaded(network, title, _knows(title, network, shape), None)


def digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights and of how it prints: what a Python program handed over."""
    found = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def given(
    which: str,
    weights: str = "",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Given:
    """These words, and the SHA-256 of all files behind them: what decides a network.

    Raises:
        UnknownName: there is no such model, file or function.
        InvalidData: a file is missing.
    """
    behind = [checkpoint.content(Path(weights))] if weights else []
    if _is_file(which):
        behind += [checkpoint.content(one) for one in _files(Path(which))]
    else:
        behind.append(model.fingerprint(which).encode())
    whole = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in behind))
    first, second = (None if one is None else tuple(one) for one in (mean, std))
    return Given(which, weights, first, second, whole.hexdigest())


def code(which: str) -> list[str]:
    """The words that name code of somebody else's, such as `mine.py:net`, which `load` would run.

    Raises:
        InvalidData: a file is damaged, or no network of a run.
    """
    path = Path(which)
    if not _is_file(which):
        return [which] if model.runs_code(which) else []
    if path.suffix in (_EXPORTED, _ONNX) or not path.is_file():
        return []
    architecture, data = head(path, checkpoint.content(path))
    found = [architecture] if model.runs_code(architecture) else []
    return found + ([data] if catalog.runs_code(data) else [])


def trained_on(which: str) -> str:
    """The data set of a run's network.

    Raises:
        InvalidData: the file is missing, or no network of a run, or it names code.
        InvalidOption: it is no file of a run, and so does not say.
    """
    path = Path(which)
    named = ":" in which or which in catalog.names("models")
    if path.suffix in (_EXPORTED, _ONNX) or (named and not path.exists()):
        raise InvalidOption(f"{which} does not say what images it reads; name them by --dataset")
    return _vetted(path, head(path, checkpoint.content(path))[1], catalog.runs_code, ())


def _is_file(which: str) -> bool:
    """Whether this is no name: a file of another ending is taken for a run's."""
    path = Path(which)
    return path.suffix in (_RUNS, _EXPORTED, _ONNX) or path.exists()


def head(path: Path, content: bytes) -> tuple[str, str]:
    """The architecture and the data set in the head of a run's file."""
    try:
        about = model.about(content)
        return str(about["architecture"]), str(about["dataset"])
    except (InvalidData, KeyError) as error:
        raise InvalidData(
            f"{path} is no network of a run, such as runs/mnist/models/plain-0.safetensors: "
            f"{error}. Weights of another network come by --weights, with its name"
        ) from error


def _vetted(path: Path, words: str, code: Callable[[str], bool], allow: Sequence[str]) -> str:
    """What the head of a file names, unless it is code: a file does not choose what runs here."""
    if code(words) and words not in allow:
        raise InvalidData(
            f"{path} names code of somebody's own, {words}, which is not run because a file says "
            f"so; where you trust it, name the network, with --weights {path}, and its --dataset"
        )
    return words


def _files(path: Path) -> list[Path]:
    """A network's file, and those that belong to it."""
    return onnx.files(path) if path.suffix == _ONNX else [path]


def _of_file(path: Path, shape: dict[str, int], allow: Sequence[str]) -> Loaded:
    content = checkpoint.content(path)
    digest = hashlib.sha256(content).hexdigest()
    if path.suffix == _EXPORTED:
        return Loaded(exported.load(path), str(path), "gradients", digest)
    if path.suffix == _ONNX:
        whole = hashlib.sha256()
        for one in _files(path):
            whole.update(checkpoint.content(one))
        return Loaded(onnx.load(path), str(path), "scores", whole.hexdigest())
    architecture, _ = head(path, content)
    recorded = store.recorded(path)
    if recorded not in (None, digest):
        raise InvalidData(
            f"{path} is not what the run's ledger says it is: damaged, or changed since; the study "
            "makes it anew where it is run again"
        )
    _vetted(path, architecture, model.runs_code, allow)
    try:
        network = model.restored(content, architecture, **shape)
    except (InvalidData, InvalidModel) as error:
        raise type(error)(f"{path}: {error}") from error
    return Loaded(network, str(path), "gradients", digest)


def _of_name(which: str, shape: dict[str, int], weights: Path | None) -> Loaded:
    given = None if weights is None else checkpoint.read(weights)
    network = model.build(which, **shape, seed=0)
    if given is None:
        fresh = "no weights were given: they are what the function makes, or fresh"
        return Loaded(network, which, "gradients", None, (fresh,))
    who = "{} for {channels} x {size} x {size} images of {classes} classes".format(which, **shape)
    try:
        notes = checkpoint.fill(network, given.tensors, who)
    except InvalidModel as error:
        raise InvalidModel(f"{weights}: {error}") from error
    found = tuple(f"{weights}: {note}" for note in (*given.notes, *notes))
    return Loaded(network, which, "gradients", given.sha256, found)


def _normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> Standardise | None:
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise InvalidOption("mean and std belong together; give both, or neither")
    for name, numbers in (("mean", mean), ("std", std)):
        if len(numbers) not in (1, channels) or not all(map(math.isfinite, numbers)):
            raise InvalidOption(
                f"{name} must be one number, or one for each of {channels} channels, not "
                f"{', '.join(map(str, numbers)) or 'none'}"
            )
    if min(std) <= 0:
        raise InvalidOption(f"std must be above 0, not {min(std):g}")
    if max(len(mean), len(std)) == 1:
        return Standardise(mean[0], std[0])
    wide = [tuple(numbers) * (channels // len(numbers)) for numbers in (mean, std)]
    return Standardise(*wide)


def _behind(before: Standardise | None, network: nn.Module) -> nn.Module:
    """The network with images normalised so before it, and not a second time inside it."""
    if before is None:
        return network
    if type(network) is nn.Sequential and len(network) and type(network[0]) is Standardise:
        return nn.Sequential(before, *network[1:])
    return nn.Sequential(before, network)


def _knows(which: str, network: nn.Module, shape: dict[str, int]) -> str:
    """What can be had of it, seen on two images; that it fits them at all is seen there too."""
    channels, size, classes = shape["channels"], shape["size"], shape["classes"]
    try:
        with frozen(network), torch.enable_grad():
            place = home(network)
            grey = torch.full((2, channels, size, size), 0.5, device=place, requires_grad=True)
            logits = forward(network, grey)
    except Exception as error:  # whatever a user's network raises
        said = str(error) if isinstance(error, UnfooledError) else brief(error)
        raise InvalidModel(
            f"{which} cannot read {channels} x {size} x {size} images: {said}"
        ) from error
    if logits.shape[1] != classes:
        raise InvalidModel(f"{which} returns {logits.shape[1]} logits for {classes} classes")
    return "gradients" if logits.requires_grad else "scores"
