"""Runs on an MLflow tracking server, as its user asked for them and nowhere else."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unfooled.document import packed
from unfooled.outcomes import CLEAN, WORST
from unfooled.report import Report
from unfooled.results import RecipeResult
from unfooled.statistics import Estimate
from unfooled.tracker import Setting, Tracked, settings, tracked
from unfooled.wording import public

if TYPE_CHECKING:
    from mlflow import MlflowClient

NEEDS, WHERE = "mlflow", "MLFLOW_TRACKING_URI"
_AT_ONCE = 100  # numbers or parameters in one request, as servers take them
_LONGEST = 500  # letters of a parameter that every server takes
# Set where the user did not: a server that is not there is told in seconds, not in minutes, and the
# library does not tell its makers that it was used.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

Numbers = list[tuple[str, float, int]]  # name, value, step


def mlflow(report: Report, folder: Path, where: str) -> str:
    """A run for the study, in it one for each recipe, and in those one for each network.

    The study's run has the question, the answer, the changes with the ends of their intervals, and
    the report's pages and figures as artifacts; a recipe's run its settings and accuracies with the
    ends of their intervals; a network's run its settings, its training by epoch and its own
    accuracies. The experiment is called as the study is, or as MLFLOW_EXPERIMENT_NAME says. Results
    that are there already are not sent again.

    Args:
        where: the address of a server, or whatever else MLflow takes for a tracking URI.
    """
    with _quiet():
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=where)
        experiment = _experiment(client, report.study.name)
        mark = hashlib.sha256(packed(replace(report, environment={}, seconds=0.0))).hexdigest()
        query = f"tags.unfooled_results = '{mark}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], query, max_results=1)
        run = found[0].info.run_id if found else _sent(client, experiment, report, folder, mark)
    return f"{public(where)}, experiment {report.study.name}, run {run}"


@contextmanager
def _quiet() -> Iterator[None]:
    """The environment with what is set above, and put back as it was."""
    ours = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def _experiment(client: "MlflowClient", name: str) -> str:
    called = os.environ.get("MLFLOW_EXPERIMENT_NAME", name)
    known = client.get_experiment_by_name(called)
    return client.create_experiment(called) if known is None else str(known.experiment_id)


def _sent(client: "MlflowClient", experiment: str, report: Report, folder: Path, mark: str) -> str:
    """The whole report as runs; the one of the study. It is FINISHED once all of it is there."""
    study, environment = report.study, report.environment
    tags = {
        "unfooled_results": mark,
        "mlflow.note.content": f"**{report.answer.short}** {report.answer.sentence}",
    }
    told = {
        "question": study.question,
        "dataset": study.dataset,
        "model": study.model,
        "seeds": study.seeds,
        "answer_eps": study.answer_eps,
        "margin": study.margin,
        "unfooled": environment["unfooled"],
        "torch": environment["packages"]["torch"],
        "device": environment["device"],
    }
    with _run(client, experiment, folder.resolve().name, tags) as whole:
        _logged(client, whole, told, _changes(report))
        networks = tracked(report)
        recipes = {recipe.name: recipe for recipe in study.recipes}
        for recipe in report.results.recipes:
            inside = {"mlflow.parentRunId": whole, "unfooled_recipe": recipe.title}
            with _run(client, experiment, recipe.name, inside) as parent:
                _logged(client, parent, settings(study, recipes[recipe.name]), _accuracies(recipe))
                for network in (one for one in networks if one.recipe == recipe.name):
                    within = {**inside, "mlflow.parentRunId": parent}
                    with _run(client, experiment, network.name, within) as run:
                        own = {**network.settings, "seed": network.seed}
                        _logged(client, run, own, _numbers(network))
        client.log_artifacts(whole, str(folder / "report"), "report")
    return whole


@contextmanager
def _run(
    client: "MlflowClient", experiment: str, name: str, tags: Mapping[str, str]
) -> Iterator[str]:
    """A run on the server, which is FAILED there unless all of it came through."""
    run = client.create_run(experiment, tags=dict(tags), run_name=name).info.run_id
    try:
        yield run
    except BaseException:
        with contextlib.suppress(Exception):  # the server may be gone
            client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run, "FINISHED")


def _logged(
    client: "MlflowClient", run: str, told: Mapping[str, Setting], numbers: Numbers
) -> None:
    from mlflow.entities import Metric, Param

    now = int(1000 * time.time())
    params = [Param(name, str(value)[:_LONGEST]) for name, value in told.items()]
    metrics = [Metric(name, value, now, step) for name, value, step in numbers]
    for start in range(0, max(len(params), len(metrics)), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        client.log_batch(run, metrics=metrics[part], params=params[part])


def _ends(name: str, estimate: Estimate) -> Numbers:
    """A number and the ends of its interval, beside each other in any list of names."""
    return [
        (name, estimate.value, 0),
        (f"{name} low", estimate.low, 0),
        (f"{name} high", estimate.high, 0),
    ]


def _under(attack: str, norm: str, eps: float) -> str:
    """A name in the letters that MLflow takes; an attack's title may hold others."""
    return re.sub(r"[^\w. /-]", "_", " ".join(filter(None, (attack, norm, f"eps {eps:g}"))))


def _changes(report: Report) -> Numbers:
    """What each recipe changes at the study's eps, with and without attack."""
    found: Numbers = []
    for recipe in report.results.recipes[1:]:
        for against, eps, title in (
            (CLEAN, 0.0, "no attack"),
            (WORST, report.study.answer_eps, _under(WORST, "", report.study.answer_eps)),
        ):
            one = report.results.compared(recipe.name, against, eps)
            if one is not None:
                found += _ends(f"change {title}/{recipe.name}", one.difference)
    return found


def _accuracies(recipe: RecipeResult) -> Numbers:
    """A recipe's accuracies under everything that was measured."""
    found = _ends("accuracy/no attack", recipe.clean)
    curves = [*recipe.curves, *([recipe.certified] if recipe.certified is not None else [])]
    for curve in curves:
        for eps, estimate in zip(curve.eps, curve.robust, strict=True):
            if eps > 0:
                found += _ends(f"accuracy/{_under(curve.attack, curve.norm, eps)}", estimate)
    for corruption, estimate in recipe.corrupted.items():
        found += _ends(f"corrupted/{corruption}", estimate)
    return found


def _numbers(network: Tracked) -> Numbers:
    """A network's training by epoch, and its own accuracies."""
    found = [
        (f"training/{name}", value, epoch)
        for epoch, numbers in enumerate(network.history, 1)
        for name, value in numbers.items()
    ]
    found += [("accuracy/no attack", network.clean, 0)]
    found += [
        (f"accuracy/{_under(attack, norm, eps)}", share, 0)
        for (attack, norm), shares in network.robust.items()
        for eps, share in shares.items()
        if eps > 0
    ]
    return found
