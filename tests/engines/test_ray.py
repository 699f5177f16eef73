"""What is particular to Ray: machines that come and go, and the same numbers in the end."""

import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pilots
import psutil
import pytest
import toys

from unfooled import document, provenance, report, run
from unfooled.engine import Done, Failed, Means, Progress
from unfooled.engines import ray as home
from unfooled.errors import InvalidOption
from unfooled.study import Audit, Study, Sweep

pytestmark = pytest.mark.slow

# Parts are small, so that there are several of each; a job of the second attack waits on a machine
# for as long as a file says so, after it has said where it is.
MINE = """
import os
import time
from pathlib import Path

import toys
from unfooled import parting
from unfooled.attacks.fgsm import fgsm

parting._IMAGES, parting._PASSES = 40, 1.0
HERE = Path(__file__).parent
pyramid = toys.pyramid


def waiting(model, images, labels, threat, *, draws, targets=None):
    if (HERE / "armed").exists():
        import ray

        note = HERE / f"{os.getpid()}.part"
        note.write_text(ray.get_runtime_context().get_node_id())
        note.rename(note.with_suffix(".waits"))
        while (HERE / "armed").exists():
            time.sleep(0.05)
    return fgsm(model, images, labels, threat, draws=draws, targets=targets)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's own file."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE)
    return folder


@pytest.fixture
def armed(place: Path) -> Iterator[Path]:
    """The file that lets jobs wait; not there yet, and no job has waited."""
    for path in place.glob("*.waits"):
        path.unlink()
    yield place / "armed"
    (place / "armed").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def study(place: Path) -> Study:
    """18 jobs: of both recipes a training, two attacks in three parts each, probes and pictures."""
    return toys.study(
        model=f"{place}/mine.py:pyramid",
        seeds=1,
        sweeps=(
            Sweep("fgsm", {}, "Linf", (0.0, 0.1)),
            Sweep(f"{place}/mine.py:waiting", {}, "Linf", (0.1,)),
        ),
        audit=Audit(images=4),
    )


def told(folder: Path) -> bytes:
    """`results.json` but for the machine and the time."""
    study, _ = provenance.asked(folder)
    found = report.gather(folder, allow=provenance.code(study))
    return document.packed(replace(found, environment={}, seconds=0.0))


@pytest.fixture(scope="module", autouse=True)
def _small_parts(place: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unfooled.parting._IMAGES", 40)
        patch.setattr("unfooled.parting._PASSES", 1.0)
        yield


@pytest.fixture(scope="module")
def expected(study: Study, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What `local` tells on one worker."""
    folder = tmp_path_factory.mktemp("local")
    assert run.run(study, folder, device="cpu", workers=1) == []
    assert len(list((folder / "facts").glob("*-2of3.npz"))) == 4
    return told(folder)


Begin = Callable[..., Any]
Drive = Callable[..., tuple[ForkServerProcess, dict[str, int]]]


@pytest.fixture
def drive(
    study: Study, armed: Path, tmp_path: Path, processes: ForkServerContext
) -> Iterator[Drive]:
    """What begins the run in a process of its own, on a cluster of one core a node.

    It gives the process, and for each node the process in which a job waits.
    """
    driven: list[ForkServerProcess] = []

    def begin(address: str, many: int = 1) -> tuple[ForkServerProcess, dict[str, int]]:
        told = (study, tmp_path / "run", address, armed)
        driver = processes.Process(target=toys.run_by_ray, args=told)
        driven.append(driver)
        driver.start()
        while driver.is_alive() and len(found := list(armed.parent.glob("*.waits"))) < many:
            time.sleep(0.05)
        assert driver.is_alive()
        return driver, {path.read_text(): int(path.stem) for path in found}

    yield begin
    for driver in driven:
        driver.kill()
        driver.join()


def test_two_workers_and_three_machines_give_the_same_bytes_as_one_worker(
    study: Study, expected: bytes, cluster: Any, tmp_path: Path
) -> None:
    assert run.run(study, tmp_path / "two", device="cpu", workers=2) == []
    assert told(tmp_path / "two") == expected
    options = {"address": cluster.address}
    assert run.run(study, tmp_path / "ray", device="cpu", by="ray", options=options) == []
    assert told(tmp_path / "ray") == expected


# Ray leaves the files open into which that server of its head writes.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_is_reached_from_a_machine_that_is_no_part_of_it(
    study: Study, expected: bytes, new_cluster: Begin, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    new_cluster(num_cpus=2, ray_client_server_port=port)
    until = time.monotonic() + 60  # Ray does not wait for that server to listen
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.1)
    options = {"address": f"ray://127.0.0.1:{port}"}
    assert run.run(study, tmp_path / "run", device="cpu", by="ray", options=options) == []
    assert told(tmp_path / "run") == expected
    gc.collect()


def test_a_worker_killed_and_a_machine_lost_in_the_middle_cost_no_job(
    drive: Drive, expected: bytes, cluster: Any, armed: Path, tmp_path: Path
) -> None:
    driver, at = drive(cluster.address, many=3)
    second, third = cluster.worker_nodes
    os.kill(at[second.node_id], signal.SIGKILL)
    cluster.remove_node(third, allow_graceful=False)
    armed.unlink()
    cluster.add_node(num_cpus=1)
    driver.join()
    assert driver.exitcode == 0
    assert told(tmp_path / "run") == expected


def test_a_head_that_is_killed_and_comes_again_costs_no_job(
    drive: Drive, expected: bytes, new_cluster: Begin, armed: Path, tmp_path: Path
) -> None:
    first = new_cluster()
    address = first.address
    driver, _ = drive(address)
    first.remove_node(first.head_node, allow_graceful=False)
    armed.unlink()
    assert new_cluster(gcs_server_port=int(address.rpartition(":")[2])).address == address
    driver.join()
    assert driver.exitcode == 0
    assert told(tmp_path / "run") == expected


def test_a_killed_driver_leaves_no_process_and_the_same_run_goes_on(
    drive: Drive, study: Study, expected: bytes, armed: Path, tmp_path: Path
) -> None:
    driver, _ = drive("")
    assert driver.pid is not None
    left = psutil.Process(driver.pid).children(recursive=True)
    assert len(left) > 2
    driver.kill()
    driver.join()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert alive == []
    armed.unlink()
    kept = len(list((tmp_path / "run" / "facts").iterdir()))
    again: list[run.Step] = []
    assert run.run(study, tmp_path / "run", device="cpu", on_step=again.append) == []
    assert again[0].finished >= kept > 0
    assert told(tmp_path / "run") == expected


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", "refused"),
        ("ray://127.0.0.1:1", "refused"),
        ("nonsense", "an address is auto, HOST:PORT or ray://HOST:PORT"),
        ("ray://127.0.0.1", "an address is auto, HOST:PORT or ray://HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_in_one_line(address: str, why: str) -> None:
    events = home.ray([toys.job("a")], toys.perform, lambda _: (), Means(), address=address)
    with pytest.raises(InvalidOption) as told:
        next(events)
    assert str(told.value).startswith(f"the Ray cluster at {address} cannot be reached: ")
    assert why in str(told.value)
    assert "\n" not in str(told.value)


def test_a_cluster_that_stays_away_fails_every_job_that_is_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(home, "serve", pilots.leave)
    monkeypatch.setattr(home, "PATIENCE", 0.0)
    jobs, address = [toys.job("a"), toys.job("b"), toys.job("c")], str(tmp_path / "met")
    a, b, c = jobs
    events = list(home.ray(jobs, toys.perform, lambda _: (), Means(), address=address))
    why = f"the Ray cluster at {address} cannot be reached: nobody answers"
    assert events == [Done(a, b"content", 1.0), Progress(b, 0.0), Failed(b, why), Failed(c, why)]


def test_a_cluster_that_is_lost_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(home, "serve", pilots.fall)
    monkeypatch.setattr(home, "PILOTS", 2)
    a = toys.job("a")
    events = list(home.ray([a], toys.perform, lambda _: (), Means()))
    why = "Ray cannot be reached: Ray has ended the process that was connected to it"
    assert events == [Progress(a, 0.0), Failed(a, why)]


def test_a_cluster_on_which_no_worker_can_live_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(home, "serve", pilots.despair)
    jobs = [toys.job("a"), toys.job("b")]
    with pytest.raises(InvalidOption, match=r"^no worker can be started: too old$"):
        next(home.ray(jobs, toys.perform, lambda _: (), Means()))
    events = list(home.ray(jobs, toys.perform, lambda _: (), Means(), address="once"))
    assert events[-1] == Failed(jobs[1], "no worker can be started: too old")
    assert {event.job.key for event in events if isinstance(event, Failed)} == {"a", "b"}
