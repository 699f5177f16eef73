"""A study's folder judged again: every file against the ledger, the facts, and the saved images.

Nothing is trained or attacked anew, and nothing in the folder is written.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from unfooled import catalog, loading, model, packing, parting, provenance, rereading, store
from unfooled.dataset import Split
from unfooled.errors import RunRefused, UnfooledError, brief
from unfooled.rejudging import Failure, Verified, gathered
from unfooled.rereading import Facts, Told
from unfooled.study import Study
from unfooled.worker import Worker


@dataclass(frozen=True)
class _Run:
    """What is needed to judge the files of a run."""

    folder: Path
    worker: Worker
    split: Split

    @property
    def study(self) -> Study:
        return self.worker.study

    def content(self, file: str, name: str) -> bytes | None:
        """What the file of a job holds, whatever its hash; None where there is no file."""
        try:
            return store.regular(self.folder / file.format(name))
        except (OSError, ValueError):
            return None


def code(folder: Path) -> list[str]:
    """The words in a study's folder that name code, which judging it again would run.

    Raises:
        RunRefused: it holds no run.
        InvalidData: as `loading.code`, of networks that were there already.
    """
    study, _ = provenance.asked(folder)
    before = [name for recipe in study.recipes for name, _ in recipe.input]
    given = [recipe.given.which for recipe in study.recipes if recipe.given is not None]
    words = [
        *([study.model] if model.runs_code(study.model) else []),
        *filter(catalog.runs_code, [study.dataset]),
        *(one for which in given for one in loading.code(which)),
        *filter(catalog.runs_code, before),
    ]
    return list(dict.fromkeys(words))


def audit(folder: Path, *, data: Path | None, device: str) -> Verified:
    """Every file of a run against its hash, and every saved image against its facts.

    Args:
        folder: of the run; it may be unfinished.
        data: folder of the data files.
        device: where the networks read.

    Raises:
        RunRefused: it holds no run, or its ledger cannot be read.
        UnknownName, DataMissing, InvalidData: as `dataset.find`.
    """
    study, environment = provenance.asked(folder)
    if any(recipe.given is not None and not recipe.given.which for recipe in study.recipes):
        raise RunRefused(
            f"{folder}: its networks and images were handed over by a Python program, so there is "
            "no file to judge them by"
        )
    recorded = store.files(folder)
    worker = Worker(study, data, device)
    run = _Run(folder, worker, worker.data.split(study.split))
    found = list(_damaged(folder, recorded))
    broken = sum(len(one.where) for one in found)
    if environment["data"]["sha256"] != worker.data.sha256:
        sentence = "the images are others than those of the run"
        found.append(Failure("data", sentence, (worker.data.title,)))
    finished = parting.named(name for name, _ in recorded.values())
    told = list(_told(run, finished))
    every = [*found, *(failure for one in told for failure in one.failures)]
    return Verified(
        f"the evaluation {study.name}, networks: {len(study.recipes)}"
        if study.given
        else f"the study {study.name}, {len(study.recipes)} recipes and {study.seeds} seeds",
        images=sum(one.images for one in told),
        standing=sum(one.standing for one in told),
        files=len(recorded),
        whole=len(recorded) - broken,
        failures=gathered(every),
        notes=tuple(_notes(folder, recorded)),
    )


def _damaged(folder: Path, recorded: dict[str, tuple[str, str]]) -> Iterator[Failure]:
    for file, (_, sha256) in recorded.items():
        try:
            content = store.regular(folder / file)
        except (OSError, ValueError):
            yield Failure("hash", "they are missing", (file,))
            continue
        if hashlib.sha256(content).hexdigest() != sha256:
            yield Failure("hash", "they are not what the ledger says", (file,))


def _notes(folder: Path, recorded: dict[str, tuple[str, str]]) -> Iterator[str]:
    there = {
        f"{part}/{path.name}"
        for part, ending in (("models", "*.safetensors"), ("facts", "*.npz"))
        for path in (folder / part).glob(ending)
    }
    if unknown := there - recorded.keys():
        yield f"{len(unknown):,} files are of no job in the ledger, such as {min(unknown)}"


def _told(run: _Run, finished: Mapping[str, Sequence[str]]) -> Iterator[Told]:
    """Every finished job of every network."""
    study = run.study
    for index in range(len(study.recipes)):
        for seed in range(study.seeds):
            name = study.job_name("train", index, seed)
            if name not in finished:
                continue
            try:
                content = run.content("models/{}.safetensors", name) or b""
                network = run.worker.judged(index, content).to(run.worker.device)
            except UnfooledError as error:
                sentence = f"they cannot be put into the network: {brief(error)}"
                yield Told(failures=(Failure("weights", sentence, (name,)),))
                continue
            for kind, place, judge in _kinds(study):
                for own in finished.get(study.job_name(kind, index, seed, place), ()):
                    yield _of_job(run, network, place, own, judge)


def _kinds(study: Study) -> Iterator[tuple[str, int, Callable[[Facts], Told]]]:
    """What is known of a network besides its weights, and how it is judged."""
    yield from (("attack", place, rereading.attacked) for place in range(len(study.sweeps)))
    yield "corrupted", 0, rereading.corrupted
    yield "certified", 0, rereading.certified
    yield "pictures", 0, rereading.pictures


def _of_job(
    run: _Run, network: nn.Module, place: int, name: str, judge: Callable[[Facts], Told]
) -> Told:
    content = run.content("facts/{}.npz", name)
    if content is None:
        return Told()  # told by its hash already
    threats = run.study.sweeps[place].threats
    try:
        arrays = packing.unpacked(content)
        return judge(Facts(name, arrays, network, run.split, threats))
    except Exception as error:  # a damaged file can raise almost anything
        return rereading.bad(name, f"they cannot be read: {brief(error)}")
