"""The facts in a run's files, believed no further than they have been looked at.

The files may be anybody's, and the ledger that vouches for them as well. That facts were made up
nobody can see here; that they have the kinds, the shapes and the ranges that facts have can be
seen, and that those of one study belong together. Then all that is made of them is at worst wrong.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unfooled import packing, parting
from unfooled.certified import Certified
from unfooled.check import ORDER
from unfooled.corrupted import Corrupted
from unfooled.errors import InvalidData, UnfooledError, brief
from unfooled.evaluation import UNREAD, Evaluation
from unfooled.packing import Arrays
from unfooled.probed import Probed
from unfooled.probing import PROBES
from unfooled.study import Study, Sweep
from unfooled.wording import visible

_Form = Mapping[str, tuple[str, str]]  # numpy's kind and the sides of each array, by its name
_PER = {"ids": ("i", "n"), "labels": ("i", "n")}
_ATTACKED: _Form = {
    **{"attack": ("U", ""), "norm": ("U", ""), "eps": ("f", "t"), **_PER, "clean": ("i", "n")},
    **dict.fromkeys(("read_as", "read_at_8bit", "forward", "backward", "until"), ("i", "tn")),
    **{"distance": ("f", "tn"), "inside": ("b", "tn"), "inside_at_8bit": ("b", "tn")},
}
_CORRUPTED: _Form = {"names": ("U", "c"), "severities": ("i", "s"), **_PER, "read_as": ("i", "csn")}
_CERTIFIED: _Form = {
    **{"norm": ("U", ""), "eps": ("f", "t"), "ids": ("i", "n")},
    **{"stands": ("b", "tn"), "falls": ("b", "tn")},
}
_PROBED: _Form = {
    **{"norm": ("U", ""), "eps": ("f", ""), **_PER, "names": ("U", "p"), "read_as": ("i", "pn")},
    **{"inside": ("b", "pn"), "errors": ("U", "p"), "anywhere": ("i", "n"), "astray": ("U", "")},
    **{"grey": ("i", ""), "clean": ("i", "an"), "repeated": ("f", "n"), "watched": ("f", "n")},
    **{"steady": ("f", "n"), "checks": ("U", "f3"), "values": ("f", "f")},
}
_PICTURES: _Form = {
    **{"eps": ("f", "t"), "ids": ("i", "k"), "labels": ("i", "k"), "images": ("u", "tkchh")},
    **{"read_as": ("i", "tk"), "filters": ("f", "xyzw"), "maps": ("f", "xuv")},
}
_READ = ("labels", "clean", "read_as", "read_at_8bit", "anywhere", "grey", "targets")  # as a class
_FEW = 10_000  # rows of anything that is no image
_LARGEST = 2**40  # of a count, so that sums of many fit into 64 bits

_Found = TypeVar("_Found")
_Share = Annotated[float, Field(ge=0, le=1)]


class _Layer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    kind: str
    output: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=8)]
    kernel: str
    field: int
    parameters: int
    multiplications: int


class _Epoch(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    loss: Annotated[float, Field(ge=-1e30, le=1e30)]
    validation: _Share
    transformed: _Share
    single_step: _Share | None = None
    several_steps: _Share | None = None


class _Head(BaseModel):
    """What is asked of a head; the rest is nobody's concern here."""

    model_config = ConfigDict(strict=True, extra="ignore")
    history: Annotated[list[_Epoch], Field(max_length=1_000_000)]
    overfitted: bool | int | None = None
    which: str = ""
    sha256: str | None = None
    knows: str = "gradients"
    notes: list[str] = []
    parameters: int = 0
    layers: list[_Layer] = []


def head(content: bytes, study: Study) -> dict[str, Any]:
    """What the file of a training or of a loading tells about its network.

    Args:
        content: of the file.
        study: whose network it is.

    Raises:
        InvalidData: the file is damaged, of another kind, or tells what cannot be.
    """
    try:
        found = _Head.model_validate(packing.head(content)).model_dump()
    except ValidationError as errors:
        first = errors.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidData(f"its head is damaged: {place}: {first['msg']}") from errors
    if study.given == bool(found["history"]):
        raise InvalidData("its head is that of a network that came about in another way")
    return found


def attacked(parts: Sequence[bytes], sweep: Sweep, classes: int) -> Evaluation:
    """The facts of an attack.

    Args:
        parts: what its files hold, of which each is about some of the images.
        sweep: whose facts they must be.
        classes: of the data.

    Raises:
        InvalidData: they are damaged, or those of another attack.
    """
    arrays = _joined(parts)
    targets: _Form = {"targets": ("i", "n")} if "targets" in arrays else {}
    found = _made(Evaluation.of_arrays, _fitting(arrays, {**_ATTACKED, **targets}, classes))
    _in_order(found.ids, 0 if sweep.targets else 1)  # an image may have several targets
    if list(found.threats) != sweep.threats or (found.targets is None) == bool(sweep.targets):
        raise InvalidData("these are the facts of another attack")
    return found


def corrupted(parts: Sequence[bytes], study: Study, classes: int) -> Corrupted:
    """What a network reads under the study's corruptions; refuses as `attacked`."""
    found = _made(Corrupted.of_arrays, _fitting(_joined(parts), _CORRUPTED, classes))
    asked = study.corruptions
    if asked is None or (found.names, found.severities) != (asked.names, asked.severities):
        raise InvalidData("these are the facts of other corruptions")
    _in_order(found.ids, 1)
    return found


def certified(parts: Sequence[bytes], study: Study, classes: int) -> Certified:
    """Which images are shown to stand, and which fall; refuses as `attacked`."""
    found = _made(Certified.of_arrays, _fitting(_joined(parts), _CERTIFIED, classes))
    asked = study.certificates
    if asked is None or (found.norm, found.eps) != (asked.norm, asked.eps):
        raise InvalidData("these are the facts of other certificates")
    _in_order(found.ids, 1)
    return found


def probed(content: bytes, study: Study, classes: int) -> Probed:
    """What the probes came to; refuses as `attacked`."""
    arrays = packing.unpacked(content)
    if not arrays.get("checks", np.array(0)).size:  # none was made, so that it has one side
        arrays["checks"] = np.empty((0, 3), dtype="U1")
    found = _made(Probed.of_arrays, _fitting(arrays, _PROBED, classes))
    if (found.norm, found.eps) != (study.threat.norm, study.answer_eps) or len(found.clean) == 0:
        raise InvalidData("these are the probes of another study")
    if any(one.verdict not in ORDER for one in found.findings) or set(PROBES) - set(found.names):
        raise InvalidData("a probe is missing, or a finding of its doctor has no verdict")
    _in_order(found.ids, 1)
    return found


def pictures(content: bytes, sweep: Sweep, classes: int) -> Arrays:
    """The images that a report shows; refuses as `attacked`."""
    found = _fitting(packing.unpacked(content), _PICTURES, classes)
    shape = found["images"].shape
    if found["images"].dtype != np.uint8 or shape[2] not in (1, 3) or not all(shape):
        raise InvalidData(f"its images have the shape {list(shape)}")
    if not {0.0, *(threat.eps for threat in sweep.threats)} <= set(found["eps"].tolist()):
        raise InvalidData("its images are those of another attack")
    return found


def together(
    study: Study,
    found: Mapping[Any, Evaluation],
    *others: Collection[Corrupted] | Collection[Certified] | Collection[Probed],
) -> None:
    """Let only facts pass that are about the same images with the same labels.

    Every network meets the same images, and a smaller sample is part of every larger one. An attack
    with targets leaves out images that have none, so of it the labels alone are held against them.

    Args:
        study: whose they are.
        found: of each attack, by recipe, seed and sweep.
        others: facts of one kind each, of all networks.

    Raises:
        InvalidData: the name of the first that is not.
    """
    if not found:
        return
    widest = max(found.values(), key=lambda one: (one.targets is None, len(one.ids)))
    known, at = np.unique(widest.ids, return_index=True)
    first: dict[int, NDArray[np.int64]] = {}
    for (recipe, seed, sweep), one in found.items():
        name = study.job_name("attack", recipe, seed, sweep)
        if not np.array_equal(one.ids, first.setdefault(sweep, one.ids)):
            raise InvalidData(f"{name} is about other images than the same attack elsewhere")
        where = np.searchsorted(known, one.ids).clip(max=len(known) - 1)
        there = known[where] == one.ids
        if (widest.labels[at][where] != one.labels)[there].any():
            raise InvalidData(f"{name} has other labels than the largest sample")
        if one.targets is None and not there.all():
            raise InvalidData(f"{name} is about images that the largest sample has not")
    samples = [ids for sweep, ids in first.items() if not study.sweeps[sweep].targets]
    for group in others:
        every = [one.ids for one in group]
        samples += every[:1]
        if any(not np.array_equal(every[0], ids) for ids in every):
            raise InvalidData("what is measured besides attacks is about other images elsewhere")
    for small, large in itertools.pairwise(sorted(samples, key=len)):
        if not np.isin(small, large).all():
            raise InvalidData("its samples of images are not part of one another")


def _joined(parts: Sequence[bytes]) -> Arrays:
    """The arrays of all parts of a job, without the images, which are `unfooled verify`'s alone."""
    found = [packing.unpacked(part) for part in parts]
    for arrays in found:
        arrays.pop("adversarial", None)
    try:
        return parting.joined(found)
    except (ValueError, KeyError) as error:
        raise InvalidData(f"its parts do not fit together: {brief(error)}") from error


def _in_order(ids: NDArray[np.int64], least: int) -> None:
    if not len(ids) or (np.diff(ids) < least).any():
        raise InvalidData("its images are none, or not in their order")


def _made(make: Callable[[Arrays], _Found], arrays: Arrays) -> _Found:
    try:
        return make(arrays)
    except (UnfooledError, ValueError, TypeError, OverflowError) as error:
        raise InvalidData(f"they are none: {brief(error)}") from error


def _fitting(arrays: Arrays, form: _Form, classes: int) -> Arrays:
    """The arrays of a form, each of its kind and shape, with what is read within the classes."""
    sides: dict[str, int] = {}
    found: Arrays = {}
    for name, (kind, shape) in form.items():
        array = arrays.get(name)
        if array is None or array.dtype.kind != kind or array.ndim != len(shape):
            raise InvalidData(f"{name} is missing, or of another kind")
        for side, letter in zip(array.shape, shape, strict=True):
            expected = int(letter) if letter.isdigit() else sides.setdefault(letter, side)
            if side != expected or (letter not in "nk" and side > _FEW):
                raise InvalidData(f"{name} has the shape {list(array.shape)}")
        if kind in "iuf":
            _ranged(name, array, classes)
        found[name] = np.vectorize(visible, otypes=[str])(array) if kind == "U" else array
    return found


def _ranged(name: str, array: NDArray[Any], classes: int) -> None:
    """Whether every number can be one of its name."""
    least, most = -_LARGEST, _LARGEST
    if name in _READ:
        least, most = (0 if name == "labels" else UNREAD), classes - 1
    elif name == "ids":
        least = 0
    elif name == "severities":
        least, most = 1, 5
    if array.dtype.kind == "f" and (name != "eps" or np.isfinite(array).all()):
        return
    if array.size and not least <= array.min() <= array.max() <= most:
        raise InvalidData(f"{name} reaches from {array.min()} to {array.max()}")
