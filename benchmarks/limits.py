"""How near our PGD comes to what the processor can do, and how time and memory grow with images.

Each function runs in a worker process of attacks.py that holds `unfooled` alone.
"""

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import workers
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from unfooled import attack, dataset, evaluation, kernels
from unfooled.dataset import Split
from unfooled.randomness import Draws
from unfooled.threat import Threat

_SIDE = 1024  # of the matrices whose product is the processor's peak
_NET = "robust"
_THREAT = Threat("Linf", 0.3)
_SHOWN = 8  # operations of the profile
_GROWING = {"steps": 10}


@dataclass(frozen=True)
class Reached:
    """What PGD reaches of the peak.

    Attributes:
        peak: floating-point operations a second of a matrix product.
        reached: the same of PGD, counting those of its convolutions and products alone.
        forward, both: operations of a forward pass of an image, and with its input gradient.
        eaters: operations of torch with their share of the time, largest first.
    """

    peak: float
    reached: float
    forward: float
    both: float
    eaters: tuple[tuple[str, float], ...]


def reached(count: int, repeats: int) -> Reached:
    """PGD-40 on the robust network against a matrix product, medians of runs that take turns."""
    stage = workers.stage()
    model, images, labels = stage.nets[_NET], stage.images[:count], stage.labels[:count]
    forward, both = operations(model, images[:100], labels[:100])
    pgd = attack.find("pgd")
    square = torch.rand(_SIDE, _SIDE)
    peaks, rates = [], []
    for repeat in range(repeats + 1):
        peaks.append(max(_rate(torch.matmul, square), _rate(kernels.product, square)))
        before = model[0].passes
        start = time.process_time()
        (found,) = pgd.sweep(model, images, labels, [_THREAT], draws=Draws(repeat))
        seconds = time.process_time() - start
        passes, back = model[0].passes - before, int(found.passes.backward.sum())
        rates.append((passes * forward + back * (both - forward)) / seconds)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        pgd.sweep(model, images, labels, [_THREAT], draws=Draws(0))
    spent = {one.key: one.self_cpu_time_total for one in profiler.key_averages()}
    order = sorted(spent, key=spent.__getitem__, reverse=True)[:_SHOWN]
    eaters = tuple((name, spent[name] / sum(spent.values())) for name in order)
    # The first of each was a warm-up.
    return Reached(
        statistics.median(peaks[1:]), statistics.median(rates[1:]), forward, both, eaters
    )


def _rate(
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], side: torch.Tensor
) -> float:
    """Operations a second of a product of two square matrices."""
    start = time.process_time()
    for _ in range(10):
        product(side, side)
    return 10 * 2 * len(side) ** 3 / (time.process_time() - start)


def operations(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> tuple[float, float]:
    """Floating-point operations an image: of a plain forward pass, and with the input gradient."""
    leaf = images.clone().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        logits = model(leaf.clone())  # the counter's hooks cannot be on a leaf
        forward = counter.get_total_flops()
        torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), leaf)
        both = counter.get_total_flops()
    return forward / len(images), both / len(images)


def growth(counts: tuple[int, ...], repeats: int, folder: Path | None) -> dict[int, float]:
    """Median seconds an image of evaluating PGD on so many test images, in turn."""
    split = dataset.find("mnist", folder=folder).test
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    _evaluate(split, counts[0])
    for _ in range(repeats):
        for count in counts:
            start = time.process_time()
            _evaluate(split, count)
            seconds[count].append((time.process_time() - start) / count)
    return {count: statistics.median(times) for count, times in seconds.items()}


def memory(count: int, folder: Path | None) -> int | None:
    """Peak bytes of this process after evaluating PGD on so many images; None where unknown."""
    data = dataset.find("mnist", folder=folder)
    both = (data.train, data.validation)
    split = Split(torch.cat([s.images for s in both]), torch.cat([s.labels for s in both]))
    _evaluate(split, count)
    status = Path("/proc/self/status")
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else None


def _evaluate(split: Split, count: int) -> None:
    ids = torch.arange(count)
    pgd = attack.find("pgd", **_GROWING)
    model = workers.stage().nets[_NET]
    evaluation.evaluate_split(model, split, ids, pgd, [_THREAT], draws=Draws(0))
