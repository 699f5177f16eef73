"""What a run's folder says of itself: its study, and where and with what it was done.

The folder may be anybody's. What is read here has the types and the sizes that it should have, no
name in it leads out of the folder, and reading it runs nothing. Telling about it runs the code that
the study names, so that has to be allowed by whoever asks; see `code`.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from unfooled import catalog, model, store
from unfooled.errors import InvalidOption, RunRefused
from unfooled.norms import NORMS
from unfooled.study import Study

NAMES = ("study.json", "environment.json")
_NAME = re.compile(r"\w[\w.-]{0,199}")  # of a recipe, and so of files
_MOST = 100_000  # networks of a study
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_Count = Annotated[int, Field(ge=0, le=2**40)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Data(_Strict):
    name: str
    source: str
    sha256: str
    classes: Annotated[list[str], Field(min_length=1, max_length=100_000)]
    channels: Annotated[int, Field(ge=1, le=1024)]
    size: Annotated[int, Field(ge=1, le=2**14)]
    images: Annotated[list[_Count], Field(min_length=3, max_length=3)]


class _Environment(_Strict):
    """As `run.run` writes it."""

    unfooled: str
    python: str
    packages: dict[str, str]
    machine: str
    device: str
    workers: _Count | None
    data: _Data
    engine: str = "local"
    together: list[str] = []
    note: str = ""
    command: str = ""


class _Kept(_Strict):
    """A study, whose parts are read as strictly as what is around them."""

    study: Study


def asked(folder: Path) -> tuple[Study, dict[str, Any]]:
    """The study of a run and its environment, from its folder, which is only read.

    Raises:
        RunRefused: the folder holds no run, one of another version, or one that cannot be.
    """
    contents = [_content(folder, name) for name in NAMES]
    for name, content in zip(NAMES, contents, strict=True):
        try:
            strange = _CONTROL.search("\n".join(_texts(from_json(content))))
        except ValueError as error:
            raise RunRefused(f"{folder} holds no whole run: {name} is damaged: {error}") from error
        if strange is not None:
            raise RunRefused(f"{folder} holds no run: {name} has {strange[0]!r} in a text")
    try:
        study = _Kept.model_validate_json(b'{"study": %s}' % contents[0]).study
        environment = _Environment.model_validate_json(contents[1]).model_dump()
    except ValidationError as errors:
        first = errors.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RunRefused(
            f"{folder} holds a run of another version: {place}: {first['msg']}"
        ) from errors
    if wrong := next(_wrong(study), None):
        raise RunRefused(f"{folder} holds a run that cannot be: {wrong}")
    return study, environment


def code(study: Study) -> list[str]:
    """The words in a study that name code of somebody's own, which telling about it would run."""
    words = [
        study.dataset,
        *(sweep.attack for sweep in study.sweeps),
        *(name for recipe in study.recipes for name, _ in (*recipe.transforms, *recipe.input)),
        *(recipe.defence[0] for recipe in study.recipes),
    ]
    found = [study.model] if model.runs_code(study.model) else []
    return list(dict.fromkeys([*found, *filter(catalog.runs_code, words)]))


def vetted(folder: Path, words: Collection[str], allow: Collection[str]) -> None:
    """Let only code run that was allowed: a file from elsewhere does not choose what runs here.

    Args:
        words: that the files in the folder name.
        allow: those of them that may run.

    Raises:
        InvalidOption: others.
    """
    if others := _strange(words, allow):
        options = " ".join(f"--allow {one}" for one in others)
        raise InvalidOption(
            f"the files in {folder} name code that would be run: {', '.join(others)}; where you "
            f"trust it, add {options}"
        )


def _strange(words: Collection[str], allow: Collection[str]) -> list[str]:
    known = {*allow, *map(_placed, allow)}
    return [one for one in words if one not in known and _placed(one) not in known]


def _placed(word: str) -> str:
    """The same with the file's whole path, where it names one."""
    place, _, name = word.rpartition(":")
    return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else word


def _content(folder: Path, name: str) -> bytes:
    try:
        return store.regular(folder / name)
    except OSError as error:
        inside = sorted(path.parent for path in folder.glob("*/study.json"))
        hint = f"; did you mean {inside[0]}?" if inside else ""
        why = f"{name} in it cannot be read ({error.strerror})"
        raise RunRefused(f"{folder} holds no run: {why}{hint}") from error


def _texts(found: Any) -> Iterator[str]:
    """All texts in what JSON holds, which is not nested deeply."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        for one in found:
            yield from _texts(one)
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield key
            yield from _texts(value)


def _wrong(study: Study) -> Iterator[str]:
    """What in a study no study file could have brought about."""
    names = [recipe.name for recipe in study.recipes]
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"{name!r} is no name of a recipe"
    if not names or len(set(names)) < len(names) or not study.sweeps:
        yield "it has no recipe, no attack, or two recipes of one name"
    if not 1 <= study.seeds <= _MOST / max(1, len(names)):
        yield f"{len(names):,} recipes with {study.seeds:,} seeds"
    if not (math.isfinite(study.margin) and 0 < study.margin < 1):
        yield f"the margin {study.margin:g}"
    if study.split not in ("test", "validation"):
        yield f"the split {study.split!r}"
    known = {*names, ""}
    groups = [one.recipes for one in study.doses]
    groups += [(one.whole, *one.recipes) for one in study.bundles]
    if not known.issuperset(name for group in groups for name in group):
        yield "a dose or a bundle of recipes that it has not"
    yield from _of_numbers(study)


def _of_numbers(study: Study) -> Iterator[str]:
    """The same, of what its networks are put through."""
    rows = [(sweep.norm, sweep.eps) for sweep in study.sweeps]
    if study.certificates is not None:
        rows.append((study.certificates.norm, study.certificates.eps))
    for norm, eps in rows:
        ascending = list(eps) == sorted(set(eps)) and all(0 <= one < math.inf for one in eps)
        if norm not in NORMS or not ascending or not eps or eps[-1] == 0:
            yield f"the norm {norm!r} with the eps {', '.join(f'{one:g}' for one in eps)}"
        if norm == "L0" and any(0 < one < 1 for one in eps):
            yield "less than a pixel under L0"
    for dose in study.doses:
        if len(dose.values) != len(dose.recipes) or not all(one > 0 for one in dose.values):
            yield "a dose whose values and recipes differ in number, or that is none"
    for bundle in study.bundles:
        if len(bundle.left_out) != len(bundle.recipes):
            yield "a bundle whose recipes and what they leave out differ in number"
    asked = study.corruptions
    if asked is not None and not (asked.names and asked.severities):
        yield "corruptions without a name or a severity"
    if not any(study.answer_eps in sweep.eps for sweep in study.sweeps if not sweep.targets):
        yield f"no attack has the eps of the answer, {study.answer_eps:g}"
