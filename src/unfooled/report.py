"""What a report is: everything that a run's folder knows, gathered for the `reports/`.

Every file in `reports/` holds a function of its own name, `name(report: Report) -> bytes`, and an
`ENDING`. One for people to read also holds `laid_out(page: Page) -> bytes`, which that function
calls, and by which several runs are laid side by side. A report is made from the facts alone:
nothing is trained or attacked again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unfooled import believed, catalog, model, parting, store
from unfooled.answer import Answer, answer, withheld
from unfooled.certified import Certified
from unfooled.check import Evidence, audit
from unfooled.corrupted import Corrupted
from unfooled.errors import RunRefused
from unfooled.finding import Finding
from unfooled.model import Layer
from unfooled.outcomes import Facts
from unfooled.packing import Arrays
from unfooled.probed import Probed
from unfooled.provenance import asked, code, vetted
from unfooled.results import Results, build
from unfooled.study import Study


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

    @property
    def has_holes(self) -> bool:
        """Whether a network lacks something that the study asks of it."""
        return any((one.check, one.verdict) == ("missing", "failed") for one in self.findings)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: the answer and the four steps."""
        shown: str = catalog.module("reports", "html").inline(self)
        return {"text/html": shown, "text/plain": f"{self.answer.short} {self.answer.sentence}"}


def gather(folder: Path, *, allow: Collection[str] = ()) -> Report:
    """The report of a run, from its folder.

    Args:
        folder: of the run, which may be anybody's.
        allow: code that the study names, such as "mine.py:net", and that may run; see
            `provenance.code`.

    Raises:
        RunRefused: the folder holds no run, or none of its recipes has a result yet.
        InvalidData: its facts cannot be those of the study.
        InvalidOption: the study names code that is not allowed.
    """
    study, environment = asked(folder)
    vetted(folder, code(study), allow)
    with store.opened(folder, study.plain()) as ledger:
        files, seconds = ledger.named(), ledger.seconds()
    data = environment["data"]
    classes = len(data["classes"])
    whole = parting.named(files)

    def parts(kind: str, *place: int) -> list[bytes]:
        return [files[name] for name in whole.get(study.job_name(kind, *place), ())]

    heads, facts, pictures = {}, {}, {}
    worse: dict[tuple[int, int], Corrupted] = {}
    shown: dict[tuple[int, int], Certified] = {}
    probes: dict[tuple[int, int], Probed] = {}
    for index, recipe in enumerate(study.recipes):
        for seed in range(study.seeds):
            if content := files.get(study.job_name("train", index, seed)):
                heads[index, seed] = believed.head(content, study)
            if found := parts("corrupted", index, seed):
                worse[index, seed] = believed.corrupted(found, study, classes)
            if found := parts("certified", index, seed):
                shown[index, seed] = believed.certified(found, study, classes)
            if content := files.get(study.job_name("probed", index, seed)):
                probes[index, seed] = believed.probed(content, study, classes)
            for place, sweep in enumerate(study.sweeps):
                if found := parts("attack", index, seed, place):
                    facts[index, seed, place] = believed.attacked(found, sweep, classes)
        if content := files.get(study.job_name("pictures", index, 0)):
            pictures[recipe.name] = believed.pictures(content, study.sweeps[0], classes)
    believed.together(study, facts, worse.values(), shown.values(), probes.values())
    results = build(study, facts, heads, classes, worse, shown)
    if not results.recipes or results.recipes[0].name != study.recipes[0].name:
        first = study.recipes[0].title
        raise RunRefused(
            f"{folder}: {first} has no result yet; finish the run first, or see why its jobs fail"
        )
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
    # Sizes may be anybody's: where the network is ours no memory is taken, and nothing computed.
    place = torch.device("cpu" if catalog.runs_code(study.model) else "meta")
    with place:
        network = model.build(study.model, **shape, classes=len(data["classes"]), seed=0)
        return tuple(model.layers(network, **shape))
