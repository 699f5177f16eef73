"""An evaluation from the words of the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfooled import arguments, dataset, evaluating, guide, loading
from unfooled.dataset import Dataset
from unfooled.errors import InvalidData, InvalidModel, InvalidOption
from unfooled.evaluating import Entry, Order
from unfooled.study import Study


@dataclass(frozen=True)
class Words:
    """What a user typed; see `command.py` for what each means.

    Attributes:
        models: one at least.
        weights: none, or one for each model.
        others: as their options are called.
    """

    models: Sequence[str]
    dataset: str | None = None
    norm: str = "Linf"
    eps: str | None = None
    attacks: Sequence[str] = ()
    options: Sequence[str] = ()
    n: int = 1000
    weights: Sequence[Path] = ()
    mean: str | None = None
    std: str | None = None
    size: int | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Asked:
    """An evaluation, ready to be run.

    Attributes:
        study: what is asked.
        folder: of the data files.
        name: what a folder of its run can be called.
        note: what a reader of the report must know; "" for nothing.
    """

    study: Study
    folder: Path | None
    name: str
    note: str


def asked(words: Words) -> Asked:
    """The evaluation that the words stand for.

    Raises:
        UnknownName: there is no such network, data set or attack.
        InvalidData, DataMissing: a file is missing, damaged, or could run code.
        InvalidModel: a network does not fit the data, or an attack cannot work on it.
        InvalidOption, InvalidThreat, InvalidInput: a value that cannot be.
    """
    order = _order(words)
    data, folder, options = _data(words)
    entries = evaluating.titled(_entries(words, data))
    study, note = evaluating.study(entries, data, order, options)
    return Asked(study, folder, f"{study.name}-{order.norm}-{order.eps[-1]:g}", note)


def _order(words: Words) -> Order:
    if len(words.attacks) != 1 and words.options:
        raise InvalidOption("--option is of the attack; name one by --attack")
    own = arguments.options(words.options)
    attacks = tuple((name, own) for name in words.attacks)
    if words.eps is None:
        return Order(words.norm, (guide.USUAL.get(words.norm, 0.1),), attacks, words.n)
    found = [arguments.threat(words.norm, part.strip()).eps for part in words.eps.split(",")]
    return Order(words.norm, tuple(sorted(set(found))), attacks, words.n)


def _data(words: Words) -> tuple[Dataset, Path | None, dict[str, Any]]:
    """The data, the folder of their files, and their options."""
    named = words.dataset
    if named is None:
        kinds = {loading.trained_on(which) for which in words.models}
        if len(kinds) > 1:
            raise InvalidOption(
                f"the networks were trained on {' and '.join(sorted(kinds))}; name the data that "
                "all shall read by --dataset"
            )
        named = kinds.pop()
    options = {} if words.size is None else {"size": words.size}
    name, folder = dataset.meant(named, words.folder)
    return dataset.find(name, folder=folder, **options), folder, options


def _entries(words: Words, data: Dataset) -> list[Entry]:
    if len(words.weights) not in (0, len(words.models)):
        raise InvalidOption(
            f"--weights came {len(words.weights)} times for {len(words.models)} networks; give one "
            "for each, in their order, or none"
        )
    files: Sequence[Path | None] = words.weights or [None] * len(words.models)
    told = {"mean": arguments.numbers(words.mean), "std": arguments.numbers(words.std)}
    try:
        return [
            evaluating.entry(which, data, weights=file, **told)
            for which, file in zip(words.models, files, strict=True)
        ]
    except (InvalidData, InvalidModel) as error:
        raise type(error)(f"{error} ({data.title})") from error
