"""Names to functions: a plural folder is an open set, a file in it a member.

`pgd` in a study file is `pgd()` in `attacks/pgd.py`; `mine.py:attack` and `package.module:attack`
are the user's own. A function's keyword-only parameters with a default are its options, so the
signature is the documentation of the study file.
"""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from unfooled.errors import InvalidOption, UnknownName, named

_MANY = 24  # more names than this are not listed in one line


def names(folder: str) -> list[str]:
    """The members of a folder such as "attacks", sorted."""
    package = importlib.import_module(f"unfooled.{folder}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def module(folder: str, name: str) -> types.ModuleType:
    """The file that holds a member, or the user's own file.

    Raises:
        UnknownName: no member is called so; the message offers the nearest names.
    """
    if runs_code(name):
        return _own(name.rpartition(":")[0])
    known = names(folder)
    if name not in known:
        raise UnknownName(f"{unknown(name, known)} (in {folder})")
    return importlib.import_module(f"unfooled.{folder}.{name}")


def runs_code(name: str) -> bool:
    """Whether `module` would run code of somebody else's."""
    return ":" in name


def function(folder: str, name: str) -> Callable[..., Any]:
    """The function behind a name.

    Raises:
        UnknownName: as `module`, or the user's file holds no such function.
    """
    found = getattr(module(folder, name), name.rpartition(":")[2], None)
    if not callable(found):
        raise UnknownName(f"{name} is not a function")
    return found  # type: ignore[no-any-return]


def options(member: Callable[..., Any], given_by_us: Iterable[str] = ()) -> dict[str, Any]:
    """The options of a member and their defaults; `given_by_us` are parameters users do not set."""
    hidden = set(given_by_us)
    return {
        p.name: p.default
        for p in inspect.signature(member).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty and p.name not in hidden
    }


def check_options(
    name: str, member: Callable[..., Any], given: Mapping[str, Any], given_by_us: Iterable[str] = ()
) -> None:
    """Whether a member takes these options, with values of the kinds its annotations state.

    Raises:
        InvalidOption: it has no such option, or the value is of another kind.
    """
    known = options(member, given_by_us)
    for option, value in given.items():
        if option not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise InvalidOption(f"{name} has no option {option!r}; {has}")
        kinds = _kinds(inspect.signature(member).parameters[option].annotation)
        if kinds and (
            not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        ):
            expected = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            raise InvalidOption(f"{name}: {option} must be {expected}, not {value!r}")


def fingerprint(name: str) -> str:
    """The name of a member of ours; of a user's own, also the SHA-256 of the file behind it."""
    if ":" not in name:
        return name
    home = module("", name).__file__
    return f"{name} {hashlib.sha256(Path(home).read_bytes()).hexdigest()}" if home else name


def unknown(name: str, known: Iterable[str]) -> str:
    """One sentence on a name that does not exist, with the nearest names, and all if few."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    every = f" Known: {', '.join(known)}" if len(known) <= _MANY else ""
    return f"unknown name {name!r}{hint}{every}"


def _kinds(annotation: Any) -> tuple[type, ...]:
    """The plain types that an annotation allows; none for those that cannot be checked this way."""
    if annotation in (inspect.Parameter.empty, Any):
        return ()
    union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    parts = typing.get_args(annotation) if union else (annotation,)
    if not all(isinstance(part, type) for part in parts):
        return ()
    return (*parts, int) if float in parts else parts


def _own(place: str) -> types.ModuleType:
    path = Path(place)
    if path.suffix != ".py":
        try:
            return importlib.import_module(place)
        except (Exception, SystemExit) as error:  # a script may end itself when it is imported
            raise UnknownName(f"cannot import {place!r}: {named(error)}") from error
    if not path.is_file():
        raise UnknownName(f"there is no file {place}")
    try:
        return _executed(path.resolve())
    except (Exception, SystemExit) as error:
        raise UnknownName(f"{place} raised on import: {named(error)}") from error


@cache
def _executed(path: Path) -> types.ModuleType:
    """A file of Python as a module, once, whatever folder it is named from."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
