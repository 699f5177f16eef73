"""What a report is: everything that a run's folder knows, gathered for the `reports/`.

Every file in `reports/` holds a function of its own name, `name(report: Report) -> bytes`, and an
`ENDING`. A report is made from the facts alone: nothing is trained or attacked again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfooled import jobs, model, store
from unfooled.answer import Answer, answer
from unfooled.errors import RunRefused
from unfooled.evaluation import Evaluation
from unfooled.jobs import Arrays
from unfooled.model import Layer
from unfooled.recipe import Plan, Recipe
from unfooled.results import Results, build
from unfooled.study import Study, Sweep


@dataclass(frozen=True)
class Report:
    """All that a report tells.

    Attributes:
        study: what was asked.
        results, answer: what was found.
        environment: where and with what.
        pictures: by recipe, as `jobs.pictures` made them.
        layers: of the network.
        seconds: of work, summed over all workers.
    """

    study: Study
    results: Results
    answer: Answer
    environment: Mapping[str, Any]
    pictures: Mapping[str, Arrays]
    layers: tuple[Layer, ...]
    seconds: float


def gather(folder: Path) -> Report:
    """The report of a run, from its folder.

    Raises:
        RunRefused: the folder holds no run, or none of its recipes has a result yet.
    """
    try:
        plain = json.loads((folder / "study.json").read_bytes())
        environment = json.loads((folder / "environment.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RunRefused(f"{folder} holds no run: {error}") from error
    study = _study(plain)
    with store.opened(folder, plain) as ledger:
        files, seconds = ledger.named(), ledger.seconds()
    heads, facts, pictures = {}, {}, {}
    for index, recipe in enumerate(study.recipes):
        for seed in range(study.seeds):
            if content := files.get(study.job_name("train", index, seed)):
                heads[index, seed] = model.about(content)
            for sweep in range(len(study.sweeps)):
                if content := files.get(study.job_name("attack", index, seed, sweep)):
                    facts[index, seed, sweep] = Evaluation.of_arrays(jobs.unpacked(content))
        if content := files.get(study.job_name("pictures", index, 0)):
            pictures[recipe.name] = jobs.unpacked(content)
    data = environment["data"]
    results = build(study, facts, heads, len(data["classes"]))
    if not results.recipes or results.recipes[0].name != study.recipes[0].name:
        raise RunRefused(f"{folder}: the baseline has no result yet; finish the run first")
    shape = {"channels": data["channels"], "size": data["size"]}
    network = model.build(study.model, **shape, classes=len(data["classes"]), seed=0)
    layers = tuple(model.layers(network, **shape))
    return Report(study, results, answer(results), environment, pictures, layers, seconds)


def _study(plain: Mapping[str, Any]) -> Study:
    """The inverse of `Study.plain`."""
    recipes = tuple(
        Recipe(
            **{
                **recipe,
                "transforms": tuple((name, options) for name, options in recipe["transforms"]),
                "defence": tuple(recipe["defence"]),
                "plan": Plan(**recipe["plan"]),
            }
        )
        for recipe in plain["recipes"]
    )
    sweeps = tuple(Sweep(**{**sweep, "eps": tuple(sweep["eps"])}) for sweep in plain["sweeps"])
    return Study(**{**plain, "recipes": recipes, "sweeps": sweeps})
