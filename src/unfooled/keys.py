"""The keys of a study file: what each may hold, and what is said where one does not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from unfooled import attack, catalog, corruption, defence, preprocessor, transform
from unfooled.errors import InvalidStudy, UnfooledError
from unfooled.threat import Threat

NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
Name = Annotated[str, Field(pattern=NAME)]


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Our errors as pydantic wants them, so that it goes on and finds the others."""
    try:
        yield
    except UnfooledError as error:
        raise ValueError(str(error)) from error


def _attack_name(name: str) -> str:
    """Checked apart from the options, so that a misspelt name is told beside other errors."""
    with _as_value_error():
        catalog.function("attacks", name)
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Named(_Strict):
    """A name with options beside it, such as { name = "adversarial", eps = 0.3 }."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """All keys beside the name."""
        return dict(self.model_extra or {})


class Plan(_Strict):
    """How long and how fast; what is not given is taken from the study, or the defaults."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    averaging: float | None = Field(default=None, ge=0, lt=1)
    weight_perturbation: float | None = Field(default=None, ge=0, lt=1)


def _member(folder: str, name: str) -> str:
    if ":" not in name and name not in catalog.names(folder):
        raise ValueError(catalog.unknown(name, catalog.names(folder)))
    return name


class Dataset(Named):
    """A member of `datasets/` with its options; its name alone will do."""

    @model_validator(mode="after")
    def _fits(self) -> "Dataset":
        _member("datasets", self.name)
        with _as_value_error():
            make = catalog.function("datasets", self.name)
            catalog.check_options(self.name, make, self.options, ("folder",))
        return self


class Defence(Named):
    """A member of `defences/` with its options."""

    name: str = "standard"

    @model_validator(mode="after")
    def _fits(self) -> "Defence":
        with _as_value_error():
            defence.find(self.name, **self.options)
        return self


class Transform(Named):
    """A member of `transforms/` with its options."""

    @model_validator(mode="after")
    def _fits(self) -> "Transform":
        with _as_value_error():
            transform.check(self.name, self.options)
        return self


class Preprocessor(Named):
    """A member of `preprocessors/` with its options."""

    @model_validator(mode="after")
    def _fits(self) -> "Preprocessor":
        with _as_value_error():
            preprocessor.find(self.name, **self.options)
        return self


class Recipe(Plan):
    """One way to train, and what stands before the network."""

    title: str | None = Field(default=None, min_length=1, max_length=80)
    transforms: list[Transform] = []
    defence: Defence = Field(default_factory=Defence)
    input: list[Preprocessor] = []
    control: Literal["", "positive", "sham"] = ""


class Dose(Plan):
    """A recipe with one number at several values."""

    title: str | None = Field(default=None, min_length=1, max_length=60)
    unit: str = Field(default="", max_length=20)
    option: str
    values: Annotated[
        list[Annotated[float, Field(gt=0)] | Annotated[int, Field(gt=0)]], Field(min_length=1)
    ]
    transform: Named | None = None
    defence: Named | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Dose":
        if (self.transform is None) == (self.defence is None):
            raise ValueError("needs either a transform or a defence, whose option has the values")
        if sorted(set(self.values)) != self.values:
            raise ValueError(f"values must ascend, without repeats; they are {self.values}")
        with _as_value_error():
            for value in self.values:
                if self.transform is not None:
                    transform.check(*self.at(self.transform, value))
                if self.defence is not None:
                    defence.find(self.defence.name, **self.at(self.defence, value)[1])
        return self

    def at(self, named: Named, value: float) -> tuple[str, dict[str, Any]]:
        """The name and the options with that value."""
        return named.name, {**named.options, self.option: value}


class Bundle(Plan):
    """Several transformations together, and the same without each of them."""

    title: str | None = Field(default=None, min_length=1, max_length=60)
    transforms: Annotated[list[Transform], Field(min_length=2)]
    defence: Defence = Field(default_factory=Defence)

    @field_validator("transforms")
    @classmethod
    def _different(cls, transforms: list[Transform]) -> list[Transform]:
        names = [one.name for one in transforms]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]} stands there twice, so that neither can be left out")
        return transforms


def _once(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value} stands there twice")
    return values


class Corruptions(_Strict):
    """What else the networks are tried on; without a key, all."""

    names: Annotated[list[str], Field(min_length=1)] | None = None
    severities: Annotated[
        list[Annotated[int, Field(ge=1, le=5)]], Field(default=[1, 2, 3, 4, 5], min_length=1)
    ]
    images: int | None = Field(default=None, ge=1)

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str] | None) -> list[str] | None:
        with _as_value_error():
            for name in names or ():
                corruption.find(name)
        return None if names is None else _once(names)

    @field_validator("severities")
    @classmethod
    def _different(cls, severities: list[int]) -> list[int]:
        return _once(severities)


class Certificates(_Strict):
    """The eps at which bounds are asked, and how far up their ladder."""

    eps: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    images: int | None = Field(default=None, ge=1)
    norm: Literal["Linf", "L2"] = "Linf"
    slopes: int = Field(default=0, ge=0, le=1000)
    branches: int = Field(default=0, ge=0, le=1_000_000)

    @field_validator("eps")
    @classmethod
    def _ascending(cls, eps: list[float]) -> list[float]:
        if sorted(set(eps)) != eps:
            raise ValueError("must ascend, without repeats")
        return eps


class Audit(_Strict):
    """How the networks are probed."""

    images: int = Field(default=100, ge=1)


class Attack(Named):
    """An attack with its options over several eps."""

    name: Annotated[str, AfterValidator(_attack_name)]
    norm: Literal["Linf", "L2", "L1", "L0", "spatial"] = "Linf"
    eps: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    images: int | None = Field(default=None, ge=1)
    title: str = Field(default="", max_length=40)
    targets: str | int = ""

    @model_validator(mode="after")
    def _fits(self) -> "Attack":
        if "surrogates" in self.options:
            raise ValueError("surrogates are the networks of the other recipes; leave them out")
        with _as_value_error():
            largest = Threat(self.norm, self.eps[-1])
            largest.meant()
            attack.find(self.name, **self.options).takes(largest)
        return self

    @field_validator("eps")
    @classmethod
    def _ascending(cls, eps: list[float]) -> list[float]:
        if sorted(set(eps)) != eps or eps[-1] == 0:
            raise ValueError("must ascend, without repeats, to a value above 0")
        return eps


class File(_Strict):
    """The whole file."""

    question: str = Field(
        "Do transformations of the training data make the network harder to fool?",
        min_length=1,
        max_length=200,
    )
    dataset: Dataset
    model: str = "strided"
    seeds: int = Field(5, ge=1, le=10_000)
    answer_eps: float = Field(gt=0)
    margin: float = Field(0.02, gt=0, lt=1)
    split: Literal["test", "validation"] = "test"
    plan: Plan = Plan()
    recipes: Annotated[dict[Name, Recipe], Field(min_length=1)]
    doses: dict[Name, Dose] = {}
    bundles: dict[Name, Bundle] = {}
    attacks: Annotated[list[Attack], Field(min_length=1)]
    corruptions: Corruptions | None = None
    certificates: Certificates | None = None
    audit: Audit = Audit()

    @field_validator("dataset", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        if not isinstance(given, str | dict):
            raise ValueError(f"needs a name, or a table with a name and options, not {given!r}")
        return {"name": given} if isinstance(given, str) else given

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        return _member("models", name)


def checked(given: Mapping[str, Any]) -> File:
    """What a file holds, each key with a value that it may have.

    Args:
        given: the file as TOML gives it.

    Raises:
        InvalidStudy: all that is wrong with it, one line each, with its key.
    """
    try:
        return File.model_validate(given)
    except ValidationError as errors:
        raise InvalidStudy("\n".join(map(_line, errors.errors()))) from errors


def _line(error: Any) -> str:
    place = ""
    for part in (part for part in error["loc"] if part != "[key]"):
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if error["type"] == "extra_forbidden":
        known = ", ".join(_keys(error["loc"]))
        return f"{place}: there is no such key; known here: {known}"
    if error["type"] == "missing":
        return f"{place}: is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        message = "a recipe's name has small letters, digits, - and _, at most 40"
    came = error.get("input")
    shown = (
        ""
        if isinstance(came, dict | list | Named) or "unknown" in message
        else f" (it is {came!r})"
    )
    first = message[0].lower() if error["type"] != "value_error" else message[0]
    return f"{place}: {first}{message[1:]}{shown}"


def _keys(place: tuple[str | int, ...]) -> list[str]:
    """The keys that are known where an unknown one stood."""
    parts: dict[str, type[BaseModel]] = {
        "plan": Plan,
        "recipes": Recipe,
        "doses": Dose,
        "bundles": Bundle,
        "attacks": Attack,
        "corruptions": Corruptions,
        "certificates": Certificates,
        "audit": Audit,
    }
    return list(
        parts.get(str(place[0]), File).model_fields if len(place) > 1 else File.model_fields
    )
