import errno
import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import limited
import numpy as np
import pytest
import torch
import toys
from torch import nn

from unfooled import attack, bounds, doctor, gradients, memory, model, probing, run, smoothing
from unfooled.attack import Attack
from unfooled.certified import certified
from unfooled.corrupted import corrupted
from unfooled.dataset import Dataset
from unfooled.errors import InvalidTransform, JobFailed, OutOfMemory
from unfooled.evaluation import evaluate_split
from unfooled.in_process import in_process
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.shapes import Images, Labels, Logits
from unfooled.study import Certificates
from unfooled.threat import Threat
from unfooled.training import train

CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
CPU += "you tried to allocate 33554432 bytes. Error code 12 (Cannot allocate memory)"
CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"


class Narrow(nn.Module):
    """A network for whose layers there is room for so many images at once."""

    def __init__(self, network: nn.Module, most: float) -> None:
        super().__init__()
        self.network, self.most, self.refused = network, most, 0

    def forward(self, images: Images) -> Logits:
        if len(images) > self.most:
            self.refused += 1
            raise RuntimeError(CPU)
        logits: Logits = self.network(images)
        return logits


@pytest.fixture(scope="module", autouse=True)
def _quick_to_look_through() -> Iterator[None]:
    """What the tests of other files left is not looked through each time that memory ends."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def pyramid() -> nn.Module:
    return model.build("toys:pyramid", channels=1, size=toys.SIZE, classes=3, seed=1).eval()


def wrapped() -> Exception:
    """As a transformation's error reaches a training."""
    try:
        raise InvalidTransform("it raised MemoryError") from MemoryError()
    except InvalidTransform as error:
        return error


def raised(work: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which it is, is the question
        work()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(lambda: MemoryError(), id="python"),
        pytest.param(lambda: raised(lambda: np.empty(2**57)), id="numpy"),
        pytest.param(lambda: raised(lambda: torch.empty(2**57)), id="torch"),
        pytest.param(lambda: torch.OutOfMemoryError(CUDA), id="cuda"),
        pytest.param(lambda: RuntimeError("CUDA error: out of memory"), id="driver"),
        pytest.param(lambda: RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), id="cublas"),
        pytest.param(lambda: RuntimeError("std::bad_alloc"), id="c++"),
        pytest.param(lambda: OSError(errno.ENOMEM, "Cannot allocate memory"), id="map"),
        pytest.param(wrapped, id="wrapped"),
    ],
)
def test_what_it_looks_like(error: Callable[[], Exception]) -> None:
    assert memory.exhausted(error())


def test_other_errors_are_none_of_it() -> None:
    for error in (ValueError("out of memory"), RuntimeError("shapes differ"), OSError(2, "none")):
        assert not memory.exhausted(error)
        with pytest.raises(type(error)):
            list(memory.each(3, 2, lambda part, error=error: _raise(error)))  # type: ignore[misc]


def _raise(error: Exception) -> None:
    raise error


def test_half_of_them_is_taken_from_where_memory_ended_on() -> None:
    begun = []

    def work(part: slice) -> list[int]:
        begun.append(part.stop - part.start)
        if part.stop - part.start > 3 and part.start >= 10:
            raise MemoryError
        return list(range(30))[part]

    room = memory.Room(10)
    found = list(room.each(23, 10, work))
    assert [number for part in found for number in part] == list(range(23))
    assert begun == [10, 10, 5, 3, 3, 3, 3, 1]
    assert room.most == 3


def test_what_was_begun_is_let_go_before_the_half() -> None:
    class Large:
        pass

    begun: list[weakref.ref[Large]] = []

    def deeper(part: slice) -> int:
        assert not begun or begun[-1]() is None
        large = Large()
        begun.append(weakref.ref(large))
        if part.stop - part.start > 1:
            try:
                raise MemoryError
            except MemoryError as error:  # its frame holds it, and it holds its frame
                kept = error
                raise InvalidTransform("it raised") from kept
        return 1

    assert list(memory.each(3, 4, deeper)) == [1, 1, 1]
    assert len(begun) == 5  # 3, 2, 1, 1, 1


@pytest.mark.parametrize(("said", "size"), [(CPU, "32.0 MiB"), (CUDA, "20.00 GiB")])
def test_one_image_without_room_ends_the_job_in_a_line(said: str, size: str) -> None:
    with pytest.raises(JobFailed, match=r"one image .*; fewer processes .* would do$") as caught:
        # Two that lie in each other: the line is of the inner one.
        list(memory.each(9, 4, lambda _: list(memory.each(5, 2, lambda _: _raise_said(said)))))
    assert size in str(caught.value)
    assert "\n" not in str(caught.value)


def _raise_said(said: str) -> None:
    raise RuntimeError(said)


def same(one: object, other: object, *, rounding: float = 0.0) -> None:
    """Two records of facts: all that is counted or read, and what is measured but for rounding."""
    for name, fact in vars(one).items():
        if isinstance(fact, np.ndarray):
            near = rounding if fact.dtype == np.float64 else 0.0
            np.testing.assert_allclose(getattr(other, name), fact, rtol=near, atol=0, err_msg=name)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("fgsm", "Linf"), ("pgd", "L2"), ("square", "Linf"), ("deepfool", "L2"), ("apgd", "Linf")],
)
def test_a_pass_in_halves_finds_and_counts_the_same(
    name: str, norm: str, pyramid: nn.Module, striped: Dataset
) -> None:
    steps = {"queries": 20} if name == "square" else {} if name == "fgsm" else {"steps": 5}
    own, threats = attack.find(name, **steps), [Threat(norm, eps) for eps in (0.02, 0.1)]
    given = (striped.test, striped.test.sample(60), own, threats)
    plain = evaluate_split(Narrow(pyramid, torch.inf), *given, draws=Draws(3))
    narrow = Narrow(pyramid, 32)
    # Sums of another number of images may be rounded otherwise.
    same(plain, evaluate_split(narrow, *given, draws=Draws(3)), rounding=1e-5)
    assert plain.fooled.any()
    assert narrow.refused > 1


def greedy(
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> Images:
    """A user's attack that takes more memory than there is, late, for more than 7 images."""
    with torch.no_grad():
        model(images)
    found = threat.random_edge(images, draws) + 0 * torch.rand(())
    if len(images) > 7:
        raise MemoryError
    return found.clamp(0, 1)


def test_an_attack_in_halves_finds_and_counts_the_same(
    pyramid: nn.Module, striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, threats = Attack("greedy", greedy, "bounded", "scores"), [Threat("Linf", 0.3)]
    given = (pyramid, striped.test, striped.test.sample(60), own, threats)
    halved = evaluate_split(*given, draws=Draws(0))
    monkeypatch.setattr("unfooled.memory._MOST", 7)
    same(halved, evaluate_split(*given, draws=Draws(0)))
    assert halved.forward.max() == 1


def test_readings_in_halves_are_the_same(pyramid: nn.Module, striped: Dataset) -> None:
    narrow, plain, test = Narrow(pyramid, 32), Narrow(pyramid, torch.inf), striped.test
    images, ids = test.pixels(), test.sample(60)
    torch.testing.assert_close(gradients.predict(narrow, images), gradients.predict(plain, images))
    one, other = (
        corrupted(net, test, ids, ["fog"], [2], draws=Draws(0)) for net in (narrow, plain)
    )
    same(one, other)
    one, other = (
        smoothing.certify(net, images[:4], test.labels[:4], 0.2, Draws(0), n0=10, n=20)
        for net in (narrow, plain)
    )
    same(one, other)
    assert narrow.refused == 4  # two times that 60 and 90 were read, and of 120 draws


def test_certificates_in_halves_are_the_same(
    pyramid: nn.Module, striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    climbed, refused = bounds._Ladder.climbed, []

    def narrow(ladder: Any) -> Any:
        if len(ladder.images) > 6:
            refused.append(len(ladder.images))
            raise MemoryError
        return climbed(ladder)

    given = (pyramid, striped.test, striped.test.sample(40), Certificates((0.01, 0.03)))
    plain = certified(*given)
    monkeypatch.setattr(bounds._Ladder, "climbed", narrow)
    same(plain, certified(*given))
    assert plain.stands.any()
    assert refused


def test_an_examination_that_memory_ends_says_nothing_of_the_network(
    pyramid: nn.Module, striped: Dataset
) -> None:
    images, labels, narrow = striped.test.pixels(), striped.test.labels, Narrow(pyramid, 20)
    line = "examining a network on 90 images .*; fewer images or more memory would do"
    with pytest.raises(OutOfMemory, match=line):
        doctor.examine(narrow, images, labels, 3)
    given = (narrow, striped.test, torch.arange(90), Threat("Linf", 0.1), (), 3)
    with pytest.raises(OutOfMemory, match=line):
        probing.probed(*given, draws=Draws(0))


def test_probes_in_halves_are_the_same(
    pyramid: nn.Module, striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *given: [])
    monkeypatch.setattr(probing, "PROBES", {"as is": probing.PROBES["as is"]})
    swept, refused = Attack.sweep, []

    def narrow(own: Attack, model: nn.Module, images: Images, *given: Any, **told: Any) -> Any:
        if len(images) > 20:
            refused.append(len(images))
            raise MemoryError
        return swept(own, model, images, *given, **told)

    given = (pyramid, striped.test, torch.arange(30), Threat("Linf", 0.05), (), 3)
    plain = probing.probed(*given, draws=Draws(0))
    monkeypatch.setattr(Attack, "sweep", narrow)
    same(plain, probing.probed(*given, draws=Draws(0)), rounding=1e-5)
    assert refused == [30, 30]  # the one probe, and the look far away


def hungry(images: Images) -> Images:
    """A user's transformation that takes more memory than there is, for more than 8 images."""
    if len(images) > 8:
        raise RuntimeError(CPU)
    return images


def test_a_batch_is_not_halved_and_the_line_says_what_would_do(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys, "hungry", hungry, raising=False)
    recipe = Recipe("r", "r", transforms=(("toys:hungry", {}),), plan=Plan(1, 20, 0.01))
    with pytest.raises(
        OutOfMemory, match=r"batches of 20 images .*32\.0 MiB.*; a smaller batch_size"
    ):
        train("toys:pyramid", striped, recipe, 0)
    fits = replace(recipe, plan=Plan(1, 8, 0.01))
    (epoch,) = train("toys:pyramid", striped, fits, 0).history  # 60 validation images, in halves
    assert epoch.transformed == epoch.validation


def test_a_run_goes_on_with_the_other_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys, "hungry", hungry, raising=False)
    monkeypatch.setattr("unfooled.engines.local.local", in_process)
    plain, other = toys.study().recipes
    study = toys.study(recipes=(plain, replace(other, transforms=(("toys:hungry", {}),))), seeds=1)
    first, *rest = run.run(study, tmp_path / "run", device="cpu")
    assert first.message.startswith("memory has no room for training on batches of 40 images")
    assert {one.message for one in rest} == {"a job that it needs failed"}
    assert (tmp_path / "run" / "facts" / "plain-0-1-pgd-Linf.npz").exists()


@pytest.mark.slow
def test_within_a_limit_of_the_address_space_the_facts_are_the_same(
    processes: ForkServerContext,
) -> None:
    # Images of 33 MiB, of which an evaluation holds some eight at a time.
    plain, whole = limited.attacked("fgsm", 700, "AS", 0)
    facts, sizes = limited.said(
        processes, limited.attacked, "fgsm", 700, "AS", 150 * limited.MEBIBYTE
    )
    assert whole == [700]
    assert len(sizes) > 2
    assert plain.fooled.any()
    same(plain, facts, rounding=1e-5)


@pytest.mark.slow
def test_images_of_a_file_larger_than_memory_are_evaluated(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    n, room = 120_000, 300 * limited.MEBIBYTE
    limited.sparse(tmp_path / "images.npy", (n, 3, 64, 64))
    assert (tmp_path / "images.npy").stat().st_size > 4 * room
    facts, taken = limited.said(processes, limited.streamed, tmp_path / "images.npy", n, 1000, room)
    assert len(facts.ids) == 1000
    assert facts.correct.any()
    assert taken < room
