"""A device that is not there: its tensors call themselves "meta" and keep their numbers on the CPU.

As on a GPU, what mixes them with tensors of the CPU fails, and what is done with them gives
numbers. How a GPU rounds, and how fast it is, nothing here can tell.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from unfooled import run

DEVICE = torch.device("meta")

_ATEN = torch.ops.aten
_MOVES = (_ATEN._to_copy.default, _ATEN.copy_.default)  # between devices
_INDEXED = (  # there by places that may be on the CPU; not the other way round
    *(_ATEN.index.Tensor, _ATEN._unsafe_index.Tensor, _ATEN.index_put.default),
    *(_ATEN.index_put_.default, _ATEN._index_put_impl_.default),
)


class There(Tensor):
    """A tensor on that device."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        made = Tensor._make_wrapper_subclass(
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _done(function, args, kwargs or {})


class _Computing(TorchDispatchMode):
    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _done(function, args, kwargs or {})


class _Making(TorchFunctionMode):
    """What turns numbers into tensors and back, before the mode above hears of it."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        told = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and _is_there(told.get("device")):
            del told["device"]
            return function(*args, **told).to(DEVICE)
        if function is Tensor.new_tensor and isinstance(args[0], There):
            place = told.pop("device", None) or DEVICE
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **told}).to(place)
        if function is Tensor.tolist and isinstance(args[0], There):
            return args[0].here.tolist()
        return function(*args, **told)


@contextmanager
def available() -> Iterator[None]:
    """The device is there, and runs may be done on it."""
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with pytest.MonkeyPatch.context() as patch, _Computing(), _Making():
        _let_adam_in(patch)
        chosen, described = run.chosen, run.described
        patch.setattr(run, "chosen", lambda name: name if name == DEVICE.type else chosen(name))
        patch.setattr(
            run, "described", lambda data, place: {**described(data, "cpu"), "device": place}
        )
        yield
    torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _let_adam_in(patch: pytest.MonkeyPatch) -> None:
    """Its kernels for all weights at once are for some devices alone."""
    asked = "_get_fused_kernels_supported_devices"
    known: list[str] = getattr(_foreach_utils, asked)()
    for home in (_foreach_utils, optimizer, importlib.import_module("torch.optim.adam")):
        if hasattr(home, asked):
            patch.setattr(home, asked, lambda: [*known, DEVICE.type])


def _is_there(place: Any) -> bool:
    return place is not None and torch.device(place) == DEVICE


def _done(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    there = any(isinstance(one, There) for one in tensors)
    asked = kwargs.get("device")
    if function not in _MOVES and there:
        _check(function, args, tensors)
    told = tree_map(_here, dict(kwargs))
    if asked is not None:
        told["device"] = torch.device("cpu")
    found = function(*tree_map(_here, args), **told)
    if function is _ATEN.copy_.default:
        ends = isinstance(args[0], There)
    else:
        ends = there if asked is None else _is_there(asked)
    if not ends:
        return found
    found = tree_map(lambda one: There(one) if isinstance(one, Tensor) else one, found)
    return return_and_correct_aliasing(function, args, kwargs, found) if there else found


def _here(one: Any) -> Any:
    return one.here if isinstance(one, There) else one


def _check(function: Any, args: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    """As a GPU does: a single number may come from the CPU, and so may places."""
    places = [*args[1]] if function in _INDEXED and isinstance(args[0], There) else []
    for one in tensors:
        if isinstance(one, There) or not one.ndim or any(one is place for place in places):
            continue
        raise RuntimeError(f"{function} meets a tensor {list(one.shape)} of another device")
