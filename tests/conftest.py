"""What every test can ask for."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import loaded
import pytest
import quick
import torch
import toys
from filelock import FileLock
from torch import nn

from unfooled import engine, loading, model, provenance
from unfooled.dataset import Dataset
from unfooled.report import Report, gather
from unfooled.shapes import Images, Labels

# Threads cost more than they bring on tensors this small, and the tests run in a process a core.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the commands that tests start
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of them would compile torch anew


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes for `-n auto`: one a core, and no more than memory is sure to have room for."""
    return min(8, engine.cores())


@pytest.fixture(autouse=True)
def _no_data_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's cache decides nothing, and nothing is downloaded."""
    monkeypatch.setattr("unfooled.idx.cache_folder", lambda: tmp_path / "no cache")
    monkeypatch.setattr("unfooled.idx._download", lambda loader: False)
    monkeypatch.setattr("unfooled.datasets.cifar10._download", lambda: False)


_OUR_OWN = ("toys:", "stored:")


@pytest.fixture(autouse=True, scope="session")
def _our_toys_are_no_strangers() -> Iterator[None]:
    """Files of the tests may name the toys, although a file may not name code otherwise."""
    vetted, strange = loading._vetted, provenance._strange

    def ours(path: Path, words: str, *others: Any) -> str:
        return words if words.startswith(_OUR_OWN) else vetted(path, words, *others)

    def others(words: Collection[str], allow: Collection[str]) -> list[str]:
        return [one for one in strange(words, allow) if not one.startswith(_OUR_OWN)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_vetted", ours)
        patch.setattr(provenance, "_strange", others)
        yield


@pytest.fixture
def unchecked() -> Iterator[None]:
    """What a user meets: the annotations are not checked, so the library's own errors show."""
    with quick.unchecked():
        yield


@pytest.fixture
def short_probes() -> Iterator[None]:
    """As `quick.short_probes` says."""
    with quick.short_probes():
        yield


@pytest.fixture
def no_processes() -> Iterator[None]:
    """As `quick.no_processes` says."""
    with quick.no_processes():
        yield


@pytest.fixture(scope="module")
def quick_studies() -> Iterator[None]:
    """All three, for a whole file and its fixtures.

    Each step of a study is tested by itself, and whole studies with checked annotations in
    test_run.py.
    """
    with quick.unchecked(), quick.short_probes(), quick.no_processes():
        yield


@pytest.fixture
def plane() -> toys.Plane:
    """Two classes, divided by a plane."""
    return toys.plane()


@pytest.fixture
def net() -> nn.Module:
    """A smooth network of three classes, in train mode."""
    return toys.net()


@pytest.fixture
def images() -> Images:
    """24 images that no change up to 0.3 moves out of [0, 1]."""
    return toys.pictures(24, low=0.3, high=0.7)


@pytest.fixture
def labels(plane: toys.Plane, images: Images) -> Labels:
    """As the plane reads them."""
    return toys.read_by(plane, images)


@pytest.fixture(scope="session")
def striped() -> Dataset:
    """300 + 90 images of stripes in three classes."""
    return toys.striped()


@pytest.fixture
def network() -> nn.Module:
    """One that reads the stripes."""
    return model.build("toys:pyramid", **loaded.SHAPE, seed=5).eval()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with dropout, exported."""
    network = model.build("toys:dropping", **loaded.SHAPE, seed=5).eval()
    return loaded.exported(network, tmp_path_factory.mktemp("programs") / "net.pt2")


SMALL_STUDY = """
question = "Is <b>this</b> $x^2$ #panic() text?"
dataset = "digits"
seeds = 2
answer_eps = 0.1

[plan]
epochs = 2
batch_size = 64

[audit]
images = 12

[recipes.plain]
title = "No <i>change</i> & $y$"

[recipes.noise]
title = "Noise, #strong"
transforms = [{ name = "GaussianNoise", sigma = 0.2 }]

[recipes.adversarial]
control = "positive"
defence = { name = "adversarial", steps = 1 }

[[attacks]]
name = "fgsm"
eps = [0.0, 0.1, 0.2]
images = 40

[[attacks]]
name = "pgd"
eps = [0.1, 0.2]
steps = 3
images = 30
"""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A copy, for this process, of a folder that one of all the processes of the tests fills."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    whole, part = base / f"{name}-whole", base / f"{name}-part"
    with FileLock(base / f"{name}.lock"):
        if not whole.exists():
            part.mkdir()
            make(part)
            part.rename(whole)
    return Path(shutil.copytree(whole, factory.mktemp(name) / name))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, done by the command; its titles try to be markup."""
    return made_once(tmp_path_factory, "small", _do_small_run) / "run"


def _do_small_run(home: Path) -> None:
    (home / "small.toml").write_text(SMALL_STUDY)
    command = [sys.executable, "-m", "unfooled", "study", "small.toml", "--out", "run"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (home / "screen.txt").write_text(done.stdout)
    (home / "errors.txt").write_text(done.stderr)


@pytest.fixture(scope="session")
def small_report(small_run: Path) -> Report:
    """What is known about that run."""
    return gather(small_run)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser of playwright's; Debian's, since playwright's own would have to be downloaded."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    # Chromium refuses to be its own sandbox for root, as whom containers run tests.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> ForkServerContext:
    """Processes that start in no time, to be killed: their server imports everything once."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["toys", "torchvision.transforms.v2"])
    return context
