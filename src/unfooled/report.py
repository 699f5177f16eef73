"""What a report is: everything that a run's folder knows, gathered for the `reports/`.

Every file in `reports/` holds a function of its own name, `name(report: Report) -> bytes`, and an
`ENDING`. One for people to read also holds `laid_out(page: Page) -> bytes`, which that function
calls, and by which several runs are laid side by side. A report is made from the facts alone:
nothing is trained or attacked again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfooled import catalog, model, packing, parting, store
from unfooled.answer import Answer, answer, withheld
from unfooled.certified import Certified
from unfooled.check import Evidence, audit
from unfooled.corrupted import Corrupted
from unfooled.errors import RunRefused
from unfooled.evaluation import Evaluation
from unfooled.finding import Finding
from unfooled.model import Layer
from unfooled.outcomes import Facts
from unfooled.packing import Arrays
from unfooled.probing import Probed
from unfooled.recipe import Given, Plan, Recipe
from unfooled.results import Results, build
from unfooled.study import Audit, Bundle, Certificates, Corruptions, Dose, Study, Sweep


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report tells; equal to itself alone, so that what is made of it can be kept.

    Attributes:
        study: what was asked.
        results, answer: what was found.
        facts: what each attack did, by places of recipe, seed and attack.
        findings: of the checks, the worst first.
        environment: where and with what.
        networks: by recipe, what is known of one that was there already: its `packing.head`.
        pictures: by recipe, as `worker.pictures` made them.
        layers: of the network; empty where there are several, or they cannot be told.
        seconds: of work, summed over all workers.
    """

    study: Study
    results: Results
    answer: Answer
    facts: Facts
    findings: tuple[Finding, ...]
    environment: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Any]]
    pictures: Mapping[str, Arrays]
    layers: tuple[Layer, ...]
    seconds: float

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: the answer and the four steps."""
        shown: str = catalog.module("reports", "html").inline(self)
        return {"text/html": shown, "text/plain": f"{self.answer.short} {self.answer.sentence}"}


def gather(folder: Path) -> Report:
    """The report of a run, from its folder.

    Raises:
        RunRefused: the folder holds no run, or none of its recipes has a result yet.
    """
    study, environment = asked(folder)
    with store.opened(folder, study.plain()) as ledger:
        files, seconds = ledger.named(), ledger.seconds()
    whole = parting.named(files)

    def arrays(kind: str, *place: int) -> Arrays | None:
        names = whole.get(study.job_name(kind, *place))
        return parting.joined([packing.unpacked(files[name]) for name in names]) if names else None

    heads, facts, pictures = {}, {}, {}
    worse: dict[tuple[int, int], Corrupted] = {}
    shown: dict[tuple[int, int], Certified] = {}
    probes: dict[tuple[int, int], Probed] = {}
    for index, recipe in enumerate(study.recipes):
        for seed in range(study.seeds):
            if content := files.get(study.job_name("train", index, seed)):
                heads[index, seed] = packing.head(content)
            if found := arrays("corrupted", index, seed):
                worse[index, seed] = Corrupted.of_arrays(found)
            if found := arrays("certified", index, seed):
                shown[index, seed] = Certified.of_arrays(found)
            if found := arrays("probed", index, seed):
                probes[index, seed] = Probed.of_arrays(found)
            for sweep in range(len(study.sweeps)):
                if found := arrays("attack", index, seed, sweep):
                    facts[index, seed, sweep] = Evaluation.of_arrays(found)
        if found := arrays("pictures", index, 0):
            pictures[recipe.name] = found
    data = environment["data"]
    results = build(study, facts, heads, len(data["classes"]), worse, shown)
    if not results.recipes or results.recipes[0].name != study.recipes[0].name:
        first = study.recipes[0].title
        raise RunRefused(f"{folder}: {first} has no result yet; finish the run first")
    findings = audit(Evidence(study, results, facts, probes, shown, tuple(data["classes"])))
    results = withheld(results, findings)
    networks = {study.recipes[r].name: head for (r, _), head in heads.items() if study.given}
    return Report(
        study,
        results,
        answer(results, findings),
        facts,
        findings,
        environment,
        networks,
        pictures,
        _layers(study, data, networks),
        seconds,
    )


def _layers(
    study: Study, data: Mapping[str, Any], networks: Mapping[str, Mapping[str, Any]]
) -> tuple[Layer, ...]:
    """Those of the one network that all recipes train, or of the only one that is given."""
    if study.given:
        told = next(iter(networks.values()))["layers"] if len(networks) == 1 else []
        return tuple(Layer(**{**one, "output": tuple(one["output"])}) for one in told)
    shape = {"channels": data["channels"], "size": data["size"]}
    network = model.build(study.model, **shape, classes=len(data["classes"]), seed=0)
    return tuple(model.layers(network, **shape))


def asked(folder: Path) -> tuple[Study, dict[str, Any]]:
    """The study of a run and its environment, from its folder, which is only read.

    Raises:
        RunRefused: the folder holds no run, or one of another version.
    """
    found = []
    for name in ("study.json", "environment.json"):
        try:
            found.append(json.loads((folder / name).read_bytes()))
        except OSError as error:
            inside = sorted(path.parent for path in folder.glob("*/study.json"))
            hint = f"; did you mean {inside[0]}?" if inside else ""
            why = f"{name} in it cannot be read ({error.strerror})"
            raise RunRefused(f"{folder} holds no run: {why}{hint}") from error
        except ValueError as error:
            raise RunRefused(f"{folder} holds no whole run: {name} is damaged: {error}") from error
    plain, environment = found
    try:
        return _study(plain), environment
    except (KeyError, TypeError) as error:
        raise RunRefused(f"{folder} holds a run of another version: {error!r}") from error


def _study(plain: Mapping[str, Any]) -> Study:
    """The inverse of `Study.plain`."""
    recipes = tuple(
        Recipe(
            **{
                **recipe,
                "transforms": tuple((name, options) for name, options in recipe["transforms"]),
                "defence": tuple(recipe["defence"]),
                "plan": Plan(**recipe["plan"]),
                "input": tuple((name, options) for name, options in recipe["input"]),
                "given": recipe["given"] and Given(**_tuples(recipe["given"])),
            }
        )
        for recipe in plain["recipes"]
    )
    asked: dict[str, Any] = {
        name: None if plain[name] is None else make(**_tuples(plain[name]))
        for name, make in (("corruptions", Corruptions), ("certificates", Certificates))
    }
    return Study(
        **{
            **plain,
            **asked,
            "audit": Audit(**plain.get("audit", {})),
            "recipes": recipes,
            "sweeps": tuple(Sweep(**_tuples(sweep)) for sweep in plain["sweeps"]),
            "doses": tuple(Dose(**_tuples(dose)) for dose in plain["doses"]),
            "bundles": tuple(Bundle(**_tuples(bundle)) for bundle in plain["bundles"]),
        }
    )


def _tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that they were."""
    return {name: tuple(one) if isinstance(one, list) else one for name, one in plain.items()}
