"""Study files: TOML to `Study`, with every error at once, each naming its key."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from unfooled import catalog, keys
from unfooled.errors import InvalidStudy
from unfooled.recipe import Plan, Recipe
from unfooled.study import Audit, Bundle, Certificates, Corruptions, Dose, Study, Sweep

_OWN = re.compile(r"([^:]+\.py):(\w+)")  # a function of the user's own


def read(path: Path, *, seeds: int | None = None, dataset: str | None = None) -> Study:
    """The study that a file describes.

    A function of the user's own, "mine.py:NAME", is looked for beside the file first.

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
    except ValueError as error:  # also of a number with too many digits
        raise InvalidStudy(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise InvalidStudy(f"{path} is nested too deeply") from error
    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or "study"
    held = given.get("dataset")
    if dataset not in (None, held["name"] if isinstance(held, dict) and "name" in held else held):
        name = re.sub(r"[^a-z0-9_-]+", "-", f"{name}-{dataset}".lower())
        given["dataset"] = dataset
    if seeds is not None:
        given["seeds"] = seeds
    try:
        study = _study(name, keys.checked(_beside(given, path.parent)))
        fits(study)
    except RecursionError as error:
        raise InvalidStudy(f"{path} is nested too deeply") from error
    except InvalidStudy as error:
        lines = str(error).splitlines()
        raise InvalidStudy("\n".join(f"{path}: {line}" for line in lines)) from error
    return study


def _beside(given: Any, folder: Path) -> Any:
    """The same, with each "mine.py:NAME" of a file beside the study file as a whole path."""
    if isinstance(given, dict):
        return {key: _beside(value, folder) for key, value in given.items()}
    if isinstance(given, list):
        return [_beside(value, folder) for value in given]
    if isinstance(given, str) and (found := _OWN.fullmatch(given)):
        own = folder / found[1]
        return f"{own.resolve()}:{found[2]}" if own.is_file() else given
    return given


def _study(name: str, file: keys.File) -> Study:
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
        dataset=file.dataset.name,
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
        certificates=None if file.certificates is None else _certificates(file.certificates),
        doses=tuple(doses),
        bundles=tuple(bundles),
        dataset_options=file.dataset.options,
        audit=Audit(file.audit.images),
    )


def _plan(own: keys.Plan, whole: keys.Plan) -> Plan:
    """A recipe's own keys over the study's over the defaults."""
    plan = Plan()
    for level in (whole, own):
        given = level.model_dump(include=set(keys.Plan.model_fields), exclude_none=True)
        plan = replace(plan, **given)
    return plan


def _recipe(name: str, file: keys.Recipe, plan: keys.Plan) -> Recipe:
    return Recipe(
        name=name,
        title=file.title or name,
        transforms=tuple((one.name, one.options) for one in file.transforms),
        defence=(file.defence.name, file.defence.options),
        plan=_plan(file, plan),
        input=tuple((one.name, one.options) for one in file.input),
        control=file.control,
    )


def _dose(name: str, file: keys.Dose, plan: keys.Plan) -> tuple[Dose, list[Recipe]]:
    """What belongs together, and a recipe for each value."""
    title, recipes = file.title or name, []
    for value in file.values:
        own = Recipe(
            name=f"{name}-{value:g}".replace(".", "_"),
            title=f"{title} {value:g}{' ' * bool(file.unit)}{file.unit}",
            plan=_plan(file, plan),
        )
        if file.transform is not None:
            own = replace(own, transforms=(file.at(file.transform, value),))
        if file.defence is not None:
            own = replace(own, defence=file.at(file.defence, value))
        recipes.append(own)
    names = tuple(one.name for one in recipes)
    return Dose(title, file.unit, tuple(map(float, file.values)), names), recipes


def _bundle(name: str, file: keys.Bundle, plan: keys.Plan) -> tuple[Bundle, list[Recipe]]:
    """What belongs together, a recipe with all, and one without each."""
    title = file.title or name
    whole = Recipe(
        name=name,
        title=title,
        transforms=tuple((one.name, one.options) for one in file.transforms),
        defence=(file.defence.name, file.defence.options),
        plan=_plan(file, plan),
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


def _corruptions(file: keys.Corruptions) -> Corruptions:
    names = file.names if file.names is not None else catalog.names("corruptions")
    return Corruptions(tuple(names), tuple(file.severities), file.images)


def _certificates(file: keys.Certificates) -> Certificates:
    return Certificates(tuple(file.eps), file.images, file.slopes, file.branches, file.norm)


def fits(study: Study) -> None:
    """Whether the parts of a study fit together, which no key by itself can say.

    Raises:
        InvalidStudy: all that does not, one line each.
    """
    wrong = _lacking(study)
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
        if not re.fullmatch(keys.NAME, recipe.name):
            wrong.append(
                f"recipes: {recipe.name!r} cannot be a name; at most 40 of a-z, 0-9, - and _"
            )
    if study.recipes and study.recipes[0].control:
        wrong.append(f"recipes.{study.recipes[0].name}: the first is the baseline, not a control")
    if wrong:
        raise InvalidStudy("\n".join(wrong))


def _lacking(study: Study) -> list[str]:
    """What a file cannot lack, since `keys` refuses it there."""
    wrong = [] if study.seeds >= 1 else [f"seeds: must be at least 1, not {study.seeds}"]
    wrong += [] if study.recipes else ["recipes: a study needs at least one"]
    for place, sweep in enumerate(study.sweeps):
        if not sweep.threats or list(sweep.eps) != sorted(set(sweep.eps)):
            found = ", ".join(f"{eps:g}" for eps in sweep.eps) or "none"
            wrong.append(
                f"attacks[{place}]: eps must ascend, without repeats, to a value above 0; got "
                f"{found}"
            )
    return wrong
