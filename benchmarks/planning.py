"""What ImageNet, a ResNet-50 and AutoAttack cost on how many GPUs: simulated from measured costs.

The passes of an image are counted in a run's own facts, the backward pass is timed beside the
forward one here, and the engine's cost a job is that of `scale.py`. Only the speed of a GPU is
somebody else's figure: there is none here. The jobs are those that `parting` makes, handed out in
the order in which `engine.Agenda` does it.
"""

import argparse
import heapq
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import section
import torch
import torchvision

from unfooled import packing, parting
from unfooled.engine import Agenda
from unfooled.evaluation import Evaluation
from unfooled.jobs import Job
from unfooled.randomness import Draws

IMAGES = 50_000  # ImageNet's validation images
# Forward passes a second of ResNet-50 on one V100 in float32, batches of 256: NVIDIA,
# DeepLearningExamples, ResNet50 v1.5 for PyTorch, inference performance. Attacks take float32:
# rounding to fewer bits changes which images are misread.
FORWARD = 1261.0
# Of the robust ResNet-50 of Salman et al. 2020 at Linf 4/255, as RobustBench lists it.
CLEAN, ROBUST = 0.6402, 0.3496
START = 30.0  # seconds until a worker has imported torch, started CUDA and loaded the network
A_JOB = 0.05  # seconds that an engine takes for a job beside its work, at most: see scale.py
GPUS = (1, 8, 64, 128, 256)


@dataclass(frozen=True)
class Passes:
    """What AutoAttack at one eps takes for an image, in forward passes."""

    standing: float
    fallen: float

    @classmethod
    def counted(cls, run: Path, backward: float) -> "Passes":
        """The means over all networks of a run, at its smallest eps.

        Args:
            run: folder with facts of AutoAttack.
            backward: what a backward pass takes, in forward passes.
        """
        standing, fallen = list[float](), list[float]()
        for path in sorted((run / "facts").glob("*autoattack-Linf*.npz")):
            facts = Evaluation.of_arrays(packing.unpacked(path.read_bytes()))
            cost = facts.forward[0] + backward * facts.backward[0]
            standing += cost[facts.robust[0]].tolist()
            fallen += cost[facts.fooled[0] & facts.correct].tolist()
        return cls(statistics.mean(standing), statistics.mean(fallen))


def backward(repeats: int) -> float:
    """A backward pass of ResNet-50 to its input, in forward passes; one thread of this CPU."""
    network = torchvision.models.resnet50().eval().requires_grad_(False)
    images = torch.rand(4, 3, 224, 224)
    ratios = []
    for _ in range(repeats):
        leaf = images.clone().requires_grad_()
        start = time.process_time()
        logits = network(leaf)
        middle = time.process_time()
        torch.autograd.grad(logits.sum(), leaf)
        ratios.append((time.process_time() - middle) / (middle - start))
    return statistics.median(ratios)


def seconds(passes: Passes, networks: int) -> list[tuple[Job, float]]:
    """The jobs of networks that are there already, and how long each works on one GPU."""
    found = []
    for network in range(networks):
        chance = Draws(network, "planning").uniform(torch.empty(1, IMAGES))[0]
        cost = torch.where(chance < CLEAN, passes.fallen, 1.0)
        cost = torch.where(chance < ROBUST, passes.standing, cost)
        load = Job("load", network, 0, 0, f"{network}", (), 1.0)
        found.append((load, 0.0))
        for part in parting.parts(IMAGES, IMAGES * passes.standing):
            own = cost[parting.share(torch.arange(IMAGES), part)].sum() / FORWARD
            job = Job("attack", network, 0, 0, f"{network}-{part[0]}", (load,), 1.0, part)
            found.append((job, float(own)))
    return found


def simulated(work: list[tuple[Job, float]], gpus: int) -> float:
    """Seconds until the last job is done.

    A GPU takes a job as soon as it is free; the driver hands them out one after the other.
    """
    agenda, takes = Agenda([job for job, _ in work]), {job.key: s for job, s in work}
    free, ends = gpus, list[tuple[float, int, Job]]()
    now, driver, handed = 0.0, 0.0, 0
    while agenda.open:
        while free and (job := agenda.next()) is not None:
            driver = max(driver, now) + A_JOB
            start = START if handed < gpus else 0.0
            heapq.heappush(ends, (driver + start + takes[job.key], handed, job))
            free, handed = free - 1, handed + 1
        now, _, job = heapq.heappop(ends)
        agenda.done(job)
        free += 1
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run with AutoAttack in it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ratio = backward(asked.repeats)
    passes = Passes.counted(asked.run, ratio)
    rows = []
    for networks in (1, 5):
        work = seconds(passes, networks)
        busy = sum(own for _, own in work)
        for gpus in GPUS:
            took = simulated(work, gpus)
            rows.append(
                [
                    str(networks),
                    str(gpus),
                    f"{took / 3600:.1f}",
                    f"{took * gpus / 3600:.0f}",
                    f"{100 * busy / took / gpus:.0f} %",
                ]
            )
    body = (
        f"An image that stands takes {passes.standing:,.0f} forward passes' worth of work at one "
        f"eps, one that falls {passes.fallen:,.0f}; a backward pass to the input takes "
        f"{ratio:.2f} forward ones. Assumed: {FORWARD:,.0f} forward passes a second and GPU, "
        f"{100 * CLEAN:.1f} % read correctly and {100 * ROBUST:.1f} % standing, {START:.0f} s "
        f"until a worker works, {1000 * A_JOB:.0f} ms of the driver a job.\n\n"
        + section.table(["networks", "GPUs", "hours", "GPU hours", "busy"], rows)
    )
    basis = f"{IMAGES:,} images, in parts of 1,000"
    section.publish(
        "planning.py", "ImageNet on many GPUs, simulated", basis, body, write=asked.write
    )


if __name__ == "__main__":
    main()
