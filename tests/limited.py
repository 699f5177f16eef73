"""Work in a process that may have little memory; its parent hears what came of it.

Worker processes of the tests import this file too.
"""

import re
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unfooled import attack, dataset, evaluation, gradients, memory
from unfooled.dataset import Dataset, Split, assemble
from unfooled.evaluation import Evaluation
from unfooled.randomness import Draws
from unfooled.study import Sweep
from unfooled.sweeping import Sweeping
from unfooled.threat import Threat

THREATS = [Threat("Linf", eps) for eps in (0.002, 0.05)]
MEBIBYTE = 2**20


def said(processes: ForkServerContext, work: Callable[..., Any], *given: Any) -> Any:
    """What the work returns in a process of its own."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_told, args=(theirs, work, *given))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.kill()
        process.join()


def _told(pipe: Connection, work: Callable[..., Any], *given: Any) -> None:
    torch.set_num_threads(1)
    try:
        pipe.send(work(*given))
    except BaseException as error:
        pipe.send(f"{type(error).__name__}: {error}")


def held(name: str) -> int:
    """Bytes of this process, by a line of /proc/self/status."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def limit(kind: str, room: int) -> None:
    """Let this process have so many bytes more than it has; `kind` is "AS" or "DATA"."""
    now = held("VmSize" if kind == "AS" else "VmData")
    which = getattr(resource, f"RLIMIT_{kind}")
    resource.setrlimit(which, (now + room, resource.getrlimit(which)[1]))


def large(n: int) -> Split:
    """Images of 48 KiB each as floats."""
    numbers = torch.arange(n * 3 * 64 * 64, dtype=torch.int64)
    return Split((numbers * 7919 % 251).to(torch.uint8).view(n, 3, 64, 64), torch.arange(n) % 10)


class Weighed(nn.Module):
    """A network of one product, for which nothing is compiled: that takes memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        weights = Draws(0, "weighed").normal(torch.empty(10, 3 * 64 * 64))
        self.weights = nn.Parameter(weights / 64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1) - 0.5) @ self.weights.T


def attacked(name: str, n: int, kind: str, room: int) -> tuple[Evaluation, list[int]]:
    """The facts of an attack within a limit (none where the room is 0), and the sizes judged."""
    judged, hand, sizes = evaluation.judged, memory.hand, list[int]()

    def noted(network: nn.Module, images: torch.Tensor, *given: Any, **told: Any) -> Any:
        sizes.append(len(images))
        return judged(network, images, *given, **told)

    split, net, own = large(n), Weighed().eval(), attack.find(name)
    # What is compiled and loaded at the first use is not in question.
    judged(net, split.pixels(torch.arange(4)), split.labels[:4], own, THREATS, draws=Draws(0))
    labels = gradients.predict(net, split.pixels(torch.arange(n))).argmax(1)
    split = Split(split.images, labels)
    if room:
        limit(kind, room)
    # Of its own accord it would take fewer in hand, since they are large.
    evaluation.judged, memory.hand = noted, lambda shape, device: n
    try:
        facts = evaluation.evaluate_split(net, split, torch.arange(n), own, THREATS, draws=Draws(0))
    finally:
        evaluation.judged, memory.hand = judged, hand
    return facts, sizes


def mapped(path: Path, n: int) -> Dataset:
    """A data set of n images in a file, of which one is to train on."""
    images = dataset.mapped(path, n)
    assert images is not None
    split = Split(images, torch.arange(n) % 10)
    return assemble("mapped", "a file", tuple("0123456789"), "made up", split.part(0, 1), 0, split)


def streamed(path: Path, n: int, images: int, room: int) -> tuple[Evaluation, int]:
    """The facts of FGSM on images of a file larger than the room, and the memory that was taken."""
    net = Weighed().eval()
    limit("DATA", room)
    before = held("RssAnon")
    data = mapped(path, n)
    sweep = Sweep("fgsm", {}, "Linf", (0.0, 0.01), images=images)
    ids = data.test.sample(images)
    facts = Sweeping(net, (), data.test, ids, data.classes, sweep, 0).facts()
    return facts, held("RssAnon") - before


def sparse(path: Path, shape: tuple[int, ...]) -> None:
    """A file of images that are all black, and take no room on the disk."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + int(np.prod(shape)))
