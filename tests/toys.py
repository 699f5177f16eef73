"""Networks, data sets and runs small enough to know their answers on paper.

Worker processes of the tests import this file too.
"""

import math
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import quick
import torch
from torch import Tensor, nn

from unfooled import cli, model, run, store
from unfooled.dataset import Dataset, Split, assemble
from unfooled.engine import Weights
from unfooled.engines import local
from unfooled.evaluation import Evaluation
from unfooled.in_process import in_process
from unfooled.jobs import Job
from unfooled.layers import Standardise
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.shapes import Images, Labels, Logits
from unfooled.study import Audit, Study, Sweep
from unfooled.threat import Threat

SIZE = 8  # side of the toy images


class Plane(nn.Module):
    """Two classes on the two sides of a plane; the nearest misread image is known."""

    def __init__(self, weight: Tensor, offset: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(torch.tensor(offset, dtype=weight.dtype))

    def margin(self, images: Images) -> Tensor:
        """Positive for class 1."""
        return images.flatten(1) @ self.weight + self.offset

    def forward(self, images: Images) -> Logits:
        half = self.margin(images) / 2
        return torch.stack([-half, half], dim=1)


def plane(size: int = SIZE) -> Plane:
    """Passes through the middle of the cube of all images."""
    weight = Draws(0, "plane").normal(torch.empty(1, size * size))[0]
    return Plane(weight, -float(weight.sum()) / 2)


def net(classes: int = 3) -> nn.Module:
    """A smooth network with a layer that behaves differently in training."""
    with Draws(0, "net").torch_state():
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(SIZE * SIZE, 16),
            nn.Tanh(),
            nn.Dropout(0.5),
            nn.Linear(16, classes),
        )


def rectified() -> nn.Module:
    """A network in which nothing but ReLUs bends."""
    with Draws(0, "rectified").torch_state():
        return nn.Sequential(
            Standardise(0.5, 0.25),
            nn.Conv2d(1, 3, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.LeakyReLU(0.1)),
            nn.Flatten(),
            nn.Linear(16, 8),
            nn.ReLU(),
            nn.Linear(8, 3),
        ).eval()


def pictures(n: int, *, low: float = 0.0, high: float = 1.0, purpose: str = "images") -> Images:
    """Random grey images between two values."""
    numbers = Draws(0, purpose).uniform(torch.empty(n, 1, SIZE, SIZE))
    return low + (high - low) * numbers


def read_by(model: nn.Module, images: Images) -> Labels:
    """Labels under which the model reads every image correctly."""
    with torch.no_grad():
        return model.eval()(images).argmax(1)


def stripes(n: int, purpose: str) -> Split:
    """Noisy stripes: class 0 lies, class 1 stands, class 2 is a slope."""
    labels = torch.arange(n) % 3
    along = torch.arange(SIZE) % 4 < 2
    patterns = torch.stack(
        [
            along[:, None].expand(SIZE, SIZE),
            along[None, :].expand(SIZE, SIZE),
            torch.arange(2 * SIZE).unfold(0, SIZE, 1)[:SIZE] % 4 < 2,
        ]
    ).float()
    noise = Draws(0, purpose).uniform(torch.empty(n, 1, SIZE, SIZE))
    images = 0.6 * patterns[labels][:, None] + 0.4 * noise
    return Split(images.mul(255).round().to(torch.uint8), labels)


def striped(*, folder: Path | None = None) -> Dataset:
    """240 training, 60 validation and 90 test images of stripes."""
    names = ("lying", "standing", "slope")
    train, test = stripes(300, "train"), stripes(90, "test")
    return assemble("striped", "stripes", names, "made up", train, 60, test)


def evaluation(read_as: Sequence[Sequence[int]], **changes: object) -> Evaluation:
    """Facts about images of class 0 that an attack left inside the threat; a row for each eps."""
    reads = np.array(read_as)
    eps, n = reads.shape
    given = {
        "attack": "mine",
        "threats": tuple(Threat("Linf", 0.1 * (place + 1)) for place in range(eps)),
        "ids": np.arange(n),
        "labels": np.zeros(n, dtype=np.int64),
        "targets": None,
        "clean": np.zeros(n, dtype=np.int64),
        "read_as": reads,
        "distance": np.full((eps, n), 0.05),
        "inside": np.ones((eps, n), dtype=bool),
        "read_at_8bit": reads,
        "inside_at_8bit": np.ones((eps, n), dtype=bool),
        "forward": np.ones((eps, n), dtype=np.int64),
        "backward": np.ones((eps, n), dtype=np.int64),
        "until": np.ones((eps, n), dtype=np.int64),
    }
    return Evaluation(**{**given, **changes})  # type: ignore[arg-type]


def little(*, folder: Path | None = None) -> nn.Module:
    """Not a data set; for the error about one."""
    return net()


def pyramid(*, channels: int, size: int, classes: int) -> nn.Module:
    """A small network for the stripes."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * (size // 2) ** 2, classes),
    )


def saved(path: Path, about: Mapping[str, object] | None = None) -> Path:
    """The weights of a pyramid for the stripes, as a run saves them."""
    network = model.build("toys:pyramid", channels=1, size=SIZE, classes=3, seed=1)
    known = {"architecture": "toys:pyramid", "dataset": "toys:striped"}
    path.write_bytes(model.save(network, known if about is None else about))
    return path


def study(**changes: object) -> Study:
    """Two recipes, two seeds, FGSM and PGD on stripes: a second of work."""
    plan = Plan(epochs=2, batch_size=40, learning_rate=0.01)
    flips = (("RandomHorizontalFlip", {"p": 0.5}),)
    given = {
        "name": "toy",
        "question": "Do flips help?",
        "dataset": "toys:striped",
        "model": "toys:pyramid",
        "seeds": 2,
        "answer_eps": 0.1,
        "margin": 0.02,
        "recipes": (
            Recipe("plain", "Plain", plan=plan),
            Recipe("flips", "Flips", transforms=flips, plan=plan),
        ),
        "sweeps": (
            Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.2)),
            Sweep("pgd", {"steps": 5}, "Linf", (0.0, 0.1, 0.2), images=30),
        ),
        "audit": Audit(images=20),
    }
    return Study(**{**given, **changes})  # type: ignore[arg-type]


def perform(job: Job, weights: Weights, report: Callable[[float], None]) -> bytes:
    """What a worker does in the tests of the engines: as the job's kind says."""
    report(0.5)
    if job.kind == "raise":
        raise ValueError("this job cannot be done")
    if job.kind == "gpu":
        return f"{os.environ['CUDA_VISIBLE_DEVICES']} in {os.getpid()}".encode()
    if job.kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.kind == "die once" and not Path(job.key).exists():
        Path(job.key).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if job.kind == "leave":
        sys.exit(3)
    if job.kind == "interrupt":
        raise KeyboardInterrupt("by its own code")
    if job.kind == "break":
        raise BrokenPipeError(f"{job.key} wrote to nobody")
    if job.kind == "hang":
        signal.pause()
    if job.kind == "hang up":
        os.closerange(3, 256)  # the pipe breaks while the process still lives
        signal.pause()
    return f"{job.key} after {weights!r} in {os.getpid()}".encode()


def job(key: str, kind: str = "train", needs: tuple[Job, ...] = ()) -> Job:
    """A job for `perform`."""
    return Job(kind, 0, 0, 0, key, needs, 1.0)


def same_draw_for_all(images: Images) -> Images:
    """A transformation with the usual mistake: one draw for the whole batch."""
    return (images * (0.5 + 0.5 * torch.rand(()))).clamp(0, 1)


def sometimes_mirrored(images: Images) -> Images:
    """The same mistake, in a form that shows only now and then."""
    return images.flip(3) if torch.rand(()) < 0.25 else images


def own_draw_for_each(images: Images) -> Images:
    """A transformation of a batch as it should be."""
    return images * (0.5 + 0.5 * torch.rand(len(images), 1, 1, 1))


def darker(images: Images, strength: float = 0.5) -> Images:
    """A transformation without chance."""
    return images * strength


def too_bright(images: Images) -> Images:
    """Leaves [0, 1]."""
    return images + 1


def undefined(images: Images) -> Images:
    """NaN."""
    return images * math.nan


def smaller(images: Images) -> Images:
    """Another shape."""
    return images[:, :, 1:, 1:]


def failing(images: Images) -> Images:
    """Raises."""
    raise ArithmeticError("no luck today")


def dropping(*, channels: int, size: int, classes: int) -> nn.Module:
    """A network with dropout, whose chance is torch's own."""
    return nn.Sequential(nn.Dropout(0.3), pyramid(channels=channels, size=size, classes=classes))


def run_serially(study: Study, folder: Path, begun: Connection) -> None:
    """A whole run in this process, with short probes; to be killed."""
    torch.set_num_threads(1)
    local.local = in_process

    def tell(step: run.Step) -> None:
        if step.event is None:
            begun.send("the first job begins")

    with quick.short_probes():
        run.run(study, folder, device="cpu", workers=1, on_step=tell)


def run_in_workers(study: Study, folder: Path) -> None:
    """A whole run with two worker processes; to be killed."""
    run.run(study, folder, device="cpu", workers=2)


def command(arguments: Sequence[str], folder: Path) -> None:
    """A command as it is typed in a folder, with no other process; to be sent signals."""
    local.local = in_process
    command_in_workers(arguments, folder)


def command_in_workers(arguments: Sequence[str], folder: Path) -> None:
    """A command as it is typed in a folder, its errors in `errors` there; to be sent signals."""
    os.chdir(folder)
    sys.argv = ["unfooled", *arguments]
    with (folder / "errors").open("w", buffering=1) as sys.stderr:
        cli.main()


def run_by_ray(study: Study, folder: Path, address: str, armed: Path) -> None:
    """A whole run on a Ray cluster; a file stands from the moment when its first job may begin."""

    def arm(step: run.Step) -> None:
        if step.event is None:
            armed.touch()

    options = {"address": address}
    failed = run.run(study, folder, device="cpu", by="ray", options=options, on_step=arm)
    sys.exit(len(failed))


def _kill_myself(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_keeping(folder: Path, moment: str) -> None:
    """Killed while the second job is being kept."""
    with store.opened(folder, {}) as ledger:
        if moment == "before the flush":
            os.fsync = _kill_myself
        elif moment == "before the renaming":
            Path.replace = _kill_myself  # type: ignore[method-assign, assignment]
        elif moment == "before the row":
            real = store.write
            store.write = lambda *given: (real(*given), _kill_myself())  # type: ignore[assignment]
        ledger.put("second", "b", "train", b"two", 1.0)
        _kill_myself()


def die_in_a_transaction(folder: Path) -> None:
    """Killed when half of a change stands in the ledger, and its journal beside it."""
    known = sqlite3.connect(folder / "ledger.sqlite")
    known.execute("PRAGMA cache_size = 1")
    known.execute("UPDATE jobs SET name = 'half'")
    rows = [(str(number), "b" * 900, f"models/{number}", "", 0.0, 0) for number in range(200)]
    known.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", rows)
    _kill_myself()


def hold(folder: Path, told: Connection) -> None:
    """Keeps a folder until it is killed."""
    with store.opened(folder, {}):
        told.send("held")
        signal.pause()
