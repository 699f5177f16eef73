"""A run: the jobs of a study done, kept and counted, whatever was done before."""

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from unfooled import (
    __version__,
    bounds,
    corruption,
    defence,
    engine,
    model,
    preprocessor,
    store,
    targets,
    transform,
)
from unfooled.dataset import Dataset
from unfooled.engine import NEEDED, Done, Engine, Event, Failed, Means
from unfooled.errors import InvalidModel, InvalidOption, UnfooledError
from unfooled.gradients import home, predict
from unfooled.in_process import in_process
from unfooled.jobs import Job, jobs, maker, own_code
from unfooled.ledger import ONE_BY_ONE
from unfooled.randomness import Draws
from unfooled.recipe import Recipe
from unfooled.shapes import Images, Labels
from unfooled.study import TOGETHER, Study
from unfooled.threat import Threat
from unfooled.worker import Worker

_SHOWN = ("torch", "torchvision", "kornia", "numpy", "scipy", "scikit-learn")
_TRIED = 4  # images
_NAMED = 2  # jobs with the same reason
_CARRIED = 2**31  # bytes of data, at most, that a cluster's machines need not have as files


@dataclass(frozen=True)
class Step:
    """Where a run stands after an event.

    Attributes:
        event: what happened; None for the jobs that an earlier run had finished.
        share: of the whole work that is done, 0 to 1.
        finished, total: jobs.
        aside: finished jobs of code that has been changed since, whose files now lie in `earlier/`
            of the folder; told in the first step alone.
    """

    event: Event | None
    share: float
    finished: int
    total: int
    aside: int = 0


def run(
    study: Study,
    folder: Path,
    *,
    data_folder: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    limit: float | None = None,
    together: bool = False,
    by: str = engine.LOCAL,
    options: Mapping[str, Any] = MappingProxyType({}),
    source: str = "",
    note: str = "",
    command: str = "",
    own: Dataset | None = None,
    networks: Mapping[int, nn.Module] | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
) -> list[Failed]:
    """Every job of the study done and kept in the folder; those that failed.

    Args:
        study: what to do.
        folder: of the run; finished jobs of an earlier run of the same study are not done again.
        data_folder: where the data files are; None looks in the usual places.
        device: "cpu", "cuda", or "auto": cuda where there is one.
        workers: jobs at once; None takes one for each core, or for each GPU.
        limit: seconds that a job may take before it counts as failed.
        together: all seeds of a recipe are trained at once, as one network; worth it on a GPU.
        by: the engine that does the jobs, a name in `engines/`.
        options: of that engine.
        source: the study file word for word, kept in the folder.
        note: what a reader must know about these data; the report's title says it.
        command: that does this again; the report prints it.
        own, networks: as in `Worker`; with them, everything is done in this process.
        on_step: called after each event.

    Raises:
        InvalidOption: there is no such device or engine, fewer than one worker, or no time.
        RunRefused: the folder is busy, unwritable, full, of another study, or its finished jobs
            were made with something else, such as another version of torch.
        DataMissing, InvalidData, InvalidTransform, InvalidModel: found out before any training.
    """
    if workers is not None and workers < 1:
        raise InvalidOption(f"workers must be at least 1, not {workers}")
    if limit is not None and not limit > 0:
        raise InvalidOption(f"the time limit must be more than 0 seconds, not {limit:g}")
    place = chosen(device)
    means = Means(place, workers, limit)
    doing = in_process if own is not None else engine.find(by, **options)
    with store.opened(folder, study.plain()) as ledger:
        worker = Worker(study, data_folder, place, own, networks or {})
        data = worker.data
        if study.given:
            _try_given(worker)
        else:
            _try_out(study, data)
        planned = jobs(study, data, place, together=together)
        at_once = [study.recipes[job.recipe].name for job in planned if job.kind == TOGETHER]
        seeds = TOGETHER if at_once else ONE_BY_ONE
        ledger.made_with({**maker(data, place), "seeds": seeds})
        if source:
            store.write(folder / "study.toml", source.encode())
        environment = {
            **described(data, place),
            "engine": by if own is None else "in process",
            "workers": workers or (engine.places(place) if by == engine.LOCAL else None),
            "together": at_once,
            "note": note,
            "command": command,
        }
        store.write(
            folder / "environment.json", (json.dumps(environment, indent=2) + "\n").encode()
        )
        if own is None:
            # A fresh one: each process reads the data by itself, and nothing large is sent to it,
            # unless the engine is one that carries data to where they may not be.
            sent = data if engine.carries(by) and data.bytes <= _CARRIED else None
            worker = replace(worker, own=sent, sha256=data.sha256, code=own_code(study))
        return list(_done(planned, ledger, worker, doing, means, on_step))


def _done(
    planned: list[Job],
    ledger: store.Store,
    worker: Worker,
    doing: Engine,
    means: Means,
    on_step: Callable[[Step], None],
) -> Iterator[Failed]:
    aside = ledger.set_aside({job.key for job in planned})
    before = ledger.finished()
    left = [job for job in planned if job.key not in before]
    wanted = {one.key for job in left for one in job.needs}
    left = [job for job in left if job.kind != TOGETHER or job.key in wanted]
    whole = sum(job.cost for job in planned)
    done, running = whole - sum(job.cost for job in left), dict[str, float]()
    finished = len(planned) - len(left)
    on_step(Step(None, done / whole, finished, len(planned), aside))
    events = doing(
        left, worker.perform, lambda job: tuple(ledger.get(one.key) for one in job.needs), means
    )
    with contextlib.closing(events):  # an interruption ends the workers at once
        for event in events:
            key = event.job.key
            if isinstance(event, Done):
                name = event.job.name(worker.study)
                ledger.put(key, name, event.job.kind, event.content, event.seconds)
            if isinstance(event, Done | Failed):
                running.pop(key, None)
                done, finished = done + event.job.cost, finished + 1
            else:
                running[key] = event.share * event.job.cost
            on_step(Step(event, (done + sum(running.values())) / whole, finished, len(planned)))
            if isinstance(event, Failed):
                yield event


def reasons(failed: Sequence[Failed], study: Study) -> list[str]:
    """Why jobs failed, each reason once, and how many failed for want of another."""
    names: dict[str, list[str]] = {}
    for one in failed:
        names.setdefault(one.message, []).append(one.job.name(study))
    waited = len(names.pop(NEEDED, ()))
    found = []
    for message, own in names.items():
        more = f" and {len(own) - _NAMED} more" if len(own) > _NAMED else ""
        found.append(f"{', '.join(own[:_NAMED])}{more} failed: {message}")
    if waited:
        found.append(f"{waited} {'job' if waited == 1 else 'jobs'} failed that needed one of these")
    return found


def chosen(device: str) -> str:
    """The device that a name stands for.

    Raises:
        InvalidOption: there is no such device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise InvalidOption(f"device must be auto, cpu or cuda, not {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidOption("there is no CUDA device here; --device cpu works everywhere")
    return device


def described(data: Dataset, device: str) -> dict[str, Any]:
    """Where and with what a run is done."""
    return {
        "unfooled": __version__,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _SHOWN},
        "machine": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "data": {
            "name": data.title,
            "source": data.source,
            "sha256": data.sha256,
            "classes": list(data.classes),
            "channels": data.channels,
            "size": data.size,
            "images": [len(data.train), len(data.validation), len(data.test)],
        },
    }


def _try_given(worker: Worker) -> None:
    """Whether each attack can work on each network that is there already."""
    study, data = worker.study, worker.data
    split = data.split(study.split)
    few = split.sample(1)
    images, draws = split.pixels(few), Draws(0, "try out")
    for place, recipe in enumerate(study.recipes):
        with _named(recipe.title):
            loaded = worker.given(place)
            images = images.to(home(loaded.network))
            labels = predict(loaded.network, images).argmax(1)
            for sweep in study.sweeps:
                found = sweep.armed([loaded.network])
                loaded.takes(found)
                if ":" not in sweep.attack:  # ours work, and take their time on a robust network
                    continue
                with _tried(f"the attack {found.name}"):
                    found.run(loaded.network, images, labels, sweep.threats[0], draws=draws)


def _try_out(study: Study, data: Dataset) -> None:
    """Whatever can be wrong with a recipe or an attack on these data, before the first training."""
    shape = {"channels": data.channels, "size": data.size}
    network = model.build(study.model, **shape, classes=len(data.classes), seed=0)
    few = torch.arange(min(_TRIED, len(data.train)))
    images, draws = data.train.pixels(few), Draws(0, "try out")
    for recipe in study.recipes:
        with _named(f"recipes.{recipe.name}"):
            _try_recipe(recipe, network, images, data.train.labels[few], shape)
        if recipe.input and study.certificates is not None:
            raise InvalidModel(
                f"recipes.{recipe.name}: there are no bounds for its preprocessor; leave out "
                "certificates or the preprocessor"
            )
    if study.certificates is not None:
        bounds.certified(network, images, data.train.labels[few], Threat("Linf", 0.0))
    for name in study.corruptions.names if study.corruptions else ():
        with _tried(f"the corruption {name}"):
            for severity in study.corruptions.severities if study.corruptions else ():
                corruption.find(name).apply(images, severity, draws=draws)
    labels = predict(network, images).argmax(1)
    for sweep in study.sweeps:
        found = sweep.armed([network])
        if sweep.targets:
            targets.find(sweep.targets, data.classes)
        with _tried(f"the attack {found.name}"):
            # The largest eps, where a fresh network falls at once.
            found.run(network, images, labels, sweep.threats[-1], draws=draws)


def _try_recipe(
    recipe: Recipe, network: nn.Module, images: Images, labels: Labels, shape: Mapping[str, int]
) -> None:
    """A few images through everything that a recipe does, at several moments of its training."""
    draws = Draws(0, "try out")
    changes = [transform.find(name, options, **shape) for name, options in recipe.transforms]
    mix = transform.mixing(changes)
    changed = transform.composed(changes)(images, draws)
    if mix is not None:
        mix(changed, draws)
    loss = defence.find(recipe.defence[0], **recipe.defence[1])
    with _tried(f"the training loss {loss.name}"):
        for progress in (0.0, 0.1, 1.0):
            loss.function(network, images, labels, draws=draws, progress=progress, **loss.options)
    if recipe.input:
        before = [preprocessor.find(name, **options) for name, options in recipe.input]
        with _tried("a preprocessor"):
            predict(preprocessor.defended(network, before), images)


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Errors that begin with the place in the study file."""
    try:
        yield
    except UnfooledError as error:
        raise type(error)(f"{place}: {error}") from error


@contextmanager
def _tried(what: str) -> Iterator[None]:
    """Errors of a user's own function as ours."""
    try:
        yield
    except UnfooledError:
        raise
    except Exception as error:
        raise InvalidOption(f"{what} raised {type(error).__name__}: {error}") from error
