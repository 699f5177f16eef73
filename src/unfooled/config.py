"""Study files: TOML to `Study`, with every error at once, each naming its key."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
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
from unfooled.recipe import Plan, Recipe
from unfooled.study import Bundle, Certificates, Corruptions, Dose, Study, Sweep
from unfooled.threat import Threat

_NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
Name = Annotated[str, Field(pattern=_NAME)]


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


class _Named(_Strict):
    """A name with options beside it, such as { name = "adversarial", eps = 0.3 }."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class _Plan(_Strict):
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    averaging: float | None = Field(default=None, ge=0, lt=1)
    weight_perturbation: float | None = Field(default=None, ge=0, lt=1)

    def onto(self, plan: Plan) -> Plan:
        given = {name: getattr(self, name) for name in _Plan.model_fields}
        return Plan(**{**vars(plan), **{k: v for k, v in given.items() if v is not None}})


class _Defence(_Named):
    name: str = "standard"

    @model_validator(mode="after")
    def _fits(self) -> "_Defence":
        with _as_value_error():
            defence.find(self.name, **self.options)
        return self


class _Transform(_Named):
    @model_validator(mode="after")
    def _fits(self) -> "_Transform":
        with _as_value_error():
            transform.check(self.name, self.options)
        return self


class _Preprocessor(_Named):
    @model_validator(mode="after")
    def _fits(self) -> "_Preprocessor":
        with _as_value_error():
            preprocessor.find(self.name, **self.options)
        return self


class _Recipe(_Plan):
    title: str | None = Field(default=None, min_length=1, max_length=80)
    transforms: list[_Transform] = []
    defence: _Defence = Field(default_factory=_Defence)
    input: list[_Preprocessor] = []
    control: Literal["", "positive", "sham"] = ""


class _Dose(_Plan):
    """A recipe with one number at several values."""

    title: str | None = Field(default=None, min_length=1, max_length=60)
    unit: str = Field(default="", max_length=20)
    option: str
    values: Annotated[
        list[Annotated[float, Field(gt=0)] | Annotated[int, Field(gt=0)]], Field(min_length=1)
    ]
    transform: _Named | None = None
    defence: _Named | None = None

    @model_validator(mode="after")
    def _fits(self) -> "_Dose":
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

    def at(self, named: _Named, value: float) -> tuple[str, dict[str, Any]]:
        """The name and the options with that value."""
        return named.name, {**named.options, self.option: value}


class _Bundle(_Plan):
    """Several transformations together, and the same without each of them."""

    title: str | None = Field(default=None, min_length=1, max_length=60)
    transforms: Annotated[list[_Transform], Field(min_length=2)]
    defence: _Defence = Field(default_factory=_Defence)

    @field_validator("transforms")
    @classmethod
    def _different(cls, transforms: list[_Transform]) -> list[_Transform]:
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


class _Corruptions(_Strict):
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


class _Certificates(_Strict):
    eps: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    images: int | None = Field(default=None, ge=1)

    @field_validator("eps")
    @classmethod
    def _ascending(cls, eps: list[float]) -> list[float]:
        if sorted(set(eps)) != eps:
            raise ValueError("must ascend, without repeats")
        return eps


class _Attack(_Named):
    name: Annotated[str, AfterValidator(_attack_name)]
    norm: Literal["Linf", "L2", "L1", "L0", "spatial"] = "Linf"
    eps: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    images: int | None = Field(default=None, ge=1)
    title: str = Field(default="", max_length=40)
    targets: str | int = ""

    @model_validator(mode="after")
    def _fits(self) -> "_Attack":
        if "surrogates" in self.options:
            raise ValueError("surrogates are the networks of the other recipes; leave them out")
        with _as_value_error():
            attack.find(self.name, **self.options).takes(Threat(self.norm, self.eps[-1]))
        return self

    @field_validator("eps")
    @classmethod
    def _ascending(cls, eps: list[float]) -> list[float]:
        if sorted(set(eps)) != eps or eps[-1] == 0:
            raise ValueError("must ascend, without repeats, to a value above 0")
        return eps


class _File(_Strict):
    question: str = Field(
        "Do transformations of the training data make the network harder to fool?",
        min_length=1,
        max_length=200,
    )
    dataset: str
    model: str = "strided"
    seeds: int = Field(5, ge=1)
    answer_eps: float = Field(gt=0)
    margin: float = Field(0.02, gt=0, lt=1)
    split: Literal["test", "validation"] = "test"
    plan: _Plan = _Plan()
    recipes: Annotated[dict[Name, _Recipe], Field(min_length=1)]
    doses: dict[Name, _Dose] = {}
    bundles: dict[Name, _Bundle] = {}
    attacks: Annotated[list[_Attack], Field(min_length=1)]
    corruptions: _Corruptions | None = None
    certificates: _Certificates | None = None

    @field_validator("dataset", "model")
    @classmethod
    def _known(cls, name: str, info: Any) -> str:
        folder = f"{info.field_name}s"
        if ":" not in name and name not in catalog.names(folder):
            raise ValueError(catalog.unknown(name, catalog.names(folder)))
        return name


def read(path: Path, *, seeds: int | None = None, dataset: str | None = None) -> Study:
    """The study that a file describes.

    Args:
        path: a TOML file.
        seeds, dataset: take the place of what the file says.

    Raises:
        InvalidStudy: all that is wrong with it, one line each, with file and key.
    """
    try:
        content = path.read_bytes().decode()
        given = tomllib.loads(content)
    except OSError as error:
        raise InvalidStudy(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidStudy(f"{path} is not TOML: {error}") from error
    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or "study"
    if dataset not in (None, given.get("dataset")):
        name = re.sub(r"[^a-z0-9_-]+", "-", f"{name}-{dataset}".lower())
    given |= {k: v for k, v in (("seeds", seeds), ("dataset", dataset)) if v is not None}
    try:
        file = _File.model_validate(given)
    except ValidationError as errors:
        lines = [_line(error) for error in errors.errors()]
        raise InvalidStudy("\n".join(f"{path}: {line}" for line in lines)) from errors
    study = _study(name, file)
    wrong = list(_refused(study))
    if wrong:
        raise InvalidStudy("\n".join(f"{path}: {line}" for line in wrong))
    return study


def _study(name: str, file: _File) -> Study:
    recipes = [_recipe(name, one, file.plan) for name, one in file.recipes.items()]
    doses, bundles = [], []
    for called, dose in file.doses.items():
        found, added = _dose(called, dose, file.plan)
        doses.append(found)
        recipes += added
    for called, bundle in file.bundles.items():
        together, added = _bundle(called, bundle, file.plan)
        bundles.append(together)
        recipes += added
    return Study(
        name=name,
        question=file.question,
        dataset=file.dataset,
        model=file.model,
        seeds=file.seeds,
        answer_eps=file.answer_eps,
        margin=file.margin,
        recipes=tuple(recipes),
        sweeps=tuple(
            Sweep(a.name, a.options, a.norm, tuple(a.eps), a.images, a.title, str(a.targets))
            for a in file.attacks
        ),
        split=file.split,
        corruptions=None if file.corruptions is None else _corruptions(file.corruptions),
        certificates=None
        if file.certificates is None
        else Certificates(tuple(file.certificates.eps), file.certificates.images),
        doses=tuple(doses),
        bundles=tuple(bundles),
    )


def _recipe(name: str, file: _Recipe, plan: _Plan) -> Recipe:
    return Recipe(
        name=name,
        title=file.title or name,
        transforms=tuple((one.name, one.options) for one in file.transforms),
        defence=(file.defence.name, file.defence.options),
        plan=file.onto(plan.onto(Plan())),
        input=tuple((one.name, one.options) for one in file.input),
        control=file.control,
    )


def _dose(name: str, file: _Dose, plan: _Plan) -> tuple[Dose, list[Recipe]]:
    """What belongs together, and a recipe for each value."""
    title, recipes = file.title or name, []
    for value in file.values:
        own = Recipe(
            name=f"{name}-{value:g}".replace(".", "_"),
            title=f"{title} {value:g}{' ' * bool(file.unit)}{file.unit}",
            plan=file.onto(plan.onto(Plan())),
        )
        if file.transform is not None:
            own = replace(own, transforms=(file.at(file.transform, value),))
        if file.defence is not None:
            own = replace(own, defence=file.at(file.defence, value))
        recipes.append(own)
    names = tuple(one.name for one in recipes)
    return Dose(title, file.unit, tuple(map(float, file.values)), names), recipes


def _bundle(name: str, file: _Bundle, plan: _Plan) -> tuple[Bundle, list[Recipe]]:
    """What belongs together, a recipe with all, and one without each."""
    title = file.title or name
    whole = Recipe(
        name=name,
        title=title,
        transforms=tuple((one.name, one.options) for one in file.transforms),
        defence=(file.defence.name, file.defence.options),
        plan=file.onto(plan.onto(Plan())),
    )
    without = [
        replace(
            whole,
            name=f"{name}-no-{left.lower()}".replace(":", "-").replace("/", "-").replace(".", "_"),
            title=f"{title}, without {left}",
            transforms=tuple(one for one in whole.transforms if one[0] != left),
        )
        for left, _ in whole.transforms
    ]
    left_out = tuple(left for left, _ in whole.transforms)
    return Bundle(name, left_out, tuple(one.name for one in without)), [whole, *without]


def _corruptions(file: _Corruptions) -> Corruptions:
    names = file.names if file.names is not None else catalog.names("corruptions")
    return Corruptions(tuple(names), tuple(file.severities), file.images)


def _refused(study: Study) -> list[str]:
    """What no key by itself can say: whether the parts fit together."""
    wrong = []
    called = [(sweep.title, sweep.norm) for sweep in study.sweeps]
    for place, one in enumerate(called):
        if one in called[:place]:
            first = called.index(one)
            wrong.append(
                f"attacks[{place}]: it and attacks[{first}] are both called {one[0]} ({one[1]}); "
                "give one of them a title"
            )
    if not any(study.answer_eps in sweep.eps for sweep in study.sweeps if not sweep.targets):
        wrong.append(
            f"answer_eps: {study.answer_eps:g} is not among the eps of any attack without targets"
        )
    for place, sweep in enumerate(study.sweeps):
        if sweep.uses_surrogates and len(study.recipes) < 2:
            wrong.append(
                f"attacks[{place}]: {sweep.attack} crafts on the networks of other recipes; "
                "there is only one"
            )
    names = [recipe.name for recipe in study.recipes]
    wrong += [
        f"recipes: two are called {name}; a dose's have its name and a value, a bundle's its name"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    for recipe in study.recipes:
        if not re.fullmatch(_NAME, recipe.name):
            wrong.append(
                f"recipes: {recipe.name!r} cannot be a name; at most 40 of a-z, 0-9, - and _"
            )
    if study.recipes[0].control:
        wrong.append(f"recipes.{study.recipes[0].name}: the first is the baseline, not a control")
    return wrong


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
        if isinstance(came, dict | list | _Named) or "unknown" in message
        else f" (it is {came!r})"
    )
    first = message[0].lower() if error["type"] != "value_error" else message[0]
    return f"{place}: {first}{message[1:]}{shown}"


def _keys(place: tuple[str | int, ...]) -> list[str]:
    """The keys that are known where an unknown one stood."""
    parts: dict[str, type[BaseModel]] = {
        "plan": _Plan,
        "recipes": _Recipe,
        "doses": _Dose,
        "bundles": _Bundle,
        "attacks": _Attack,
        "corruptions": _Corruptions,
        "certificates": _Certificates,
    }
    return list(
        parts.get(str(place[0]), _File).model_fields if len(place) > 1 else _File.model_fields
    )
