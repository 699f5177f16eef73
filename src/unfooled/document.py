"""`results.json` as a type, and the JSON schema that is published of it.

The schema (docs/results.schema.json is `schema()`) is made from the dataclasses that hold the
numbers, so that it cannot say anything else than they do; its descriptions are their docstrings.
"""

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from unfooled.answer import Answer
from unfooled.finding import Finding
from unfooled.report import Report
from unfooled.results import Comparison, RecipeResult
from unfooled.study import Study
from unfooled.targeted import Targeted

VERSION = 3  # of the schema


@dataclass(frozen=True)
class Data:
    """The images.

    Attributes:
        name: as people call it.
        source: where it comes from.
        sha256: of all images and labels.
        classes: their names.
        channels, size: of an image; it is square.
        images: for training, for validation and for the test.
    """

    name: str
    source: str
    sha256: str
    classes: tuple[str, ...]
    channels: int
    size: int
    images: tuple[int, ...]


@dataclass(frozen=True)
class Environment:
    """Where and with what a run was done; two runs of one study differ in this block alone.

    Attributes:
        unfooled: the version that made it.
        python: likewise.
        packages: the versions that decide numbers.
        machine: system and processor.
        device: "cpu", or the name of a GPU.
        engine: what did the jobs; a name in `engines/`, or "in process".
        workers: jobs at once; null where the engine took what room there was.
        together: names of the recipes whose seeds were trained at once, as one network.
        data: the images.
        seconds: of work, summed over all workers.
        note: what a reader must know about these data.
        command: that does this again; empty where it is the study file.
    """

    unfooled: str
    python: str
    packages: dict[str, str]
    machine: str
    device: str
    workers: int | None
    data: Data
    seconds: float
    engine: str = "local"
    together: tuple[str, ...] = ()
    note: str = ""
    command: str = ""


@dataclass(frozen=True)
class Document:
    """The results of a run of unfooled, for other programs. No number is NaN or infinite.

    Attributes:
        schema: the version of this schema; it grows when a key is renamed, dropped or means
            something else.
        answer: what the study says, in words.
        checks: what the audit came to, the worst first.
        study: what was asked.
        recipes: the numbers of each recipe or network, in the study's order; those without any
            finished seed are missing.
        comparisons: pairs of them, on the same seeds and images.
        outside: images that an attack returned outside its threat, by attack; they count as not
            fooled.
        targeted: which class can be turned into which; for each recipe, attack with targets and
            eps.
        missing: names of jobs without a result.
        environment: where and with what it was done.
    """

    schema: Literal[3]
    answer: Answer
    checks: tuple[Finding, ...]
    study: Study
    recipes: tuple[RecipeResult, ...]
    comparisons: tuple[Comparison, ...]
    outside: dict[str, int]
    targeted: tuple[Targeted, ...]
    missing: tuple[str, ...]
    environment: Environment


def packed(report: Report) -> bytes:
    """The document of a report, keys in a fixed order."""
    whole = {
        "schema": VERSION,
        "answer": asdict(report.answer),
        "checks": [asdict(one) for one in report.findings],
        **asdict(report.results),
        "environment": {**report.environment, "seconds": report.seconds},
    }
    return (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode()


def schema() -> bytes:
    """The JSON schema of `results.json`."""
    made = TypeAdapter(Document).json_schema(mode="serialization")
    kinds = {kind.__name__: kind for kind in _kinds(Document)}
    for name, block in (("Document", made), *made["$defs"].items()):
        block["additionalProperties"] = False
        block["description"] = _first(kinds[name])
        told, fields = dict(_attributes(kinds[name])), dataclasses.fields(kinds[name])
        for field in fields:
            if field.name in told:
                block["properties"][field.name]["description"] = told[field.name]
        if name != "Environment":  # of a run of an older version
            block["required"] = [field.name for field in fields]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "results.json"}
    return (json.dumps({**made, **head}, indent=2) + "\n").encode()


def _kinds(kind: Any) -> Iterator[Any]:
    """A dataclass and all that its fields hold."""
    yield kind
    for field in dataclasses.fields(kind):
        yield from _within(field.type)


def _within(annotation: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(annotation):
        yield from _kinds(annotation)
    for inner in getattr(annotation, "__args__", ()):
        yield from _within(inner)


def _first(kind: Any) -> str:
    """What a dataclass is, in a sentence."""
    return _line((inspect.getdoc(kind) or "").partition("\n\n")[0])


def _attributes(kind: Any) -> Iterator[tuple[str, str]]:
    """The names and the words of a docstring's `Attributes:`."""
    _, _, told = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    for names, words in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {6,}.*)*)", told, re.MULTILINE):
        for name in names.split(", "):
            yield name, _line(words)


def _line(words: str) -> str:
    return " ".join(words.split()).replace("`", "")
