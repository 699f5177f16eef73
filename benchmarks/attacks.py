"""Our attacks against those of five libraries: time, and what they reach with it.

Two MNIST networks are trained first, an ordinary one and a robust one (about two minutes; kept in
local/). Each library runs in a worker process of its own (`workers.py`, `peers.py`), and they are
called in turn: CPU seconds with one thread, wall seconds with more. A library gets the images in
parts of 100 or 1,000, whichever it is quicker with, which is tried before. What it returns is
judged anew: an image stands if it is read correctly and its attacked image is outside the threat or
read correctly too.

Where there is a GPU, everything once more on it.
"""

import argparse
import hashlib
import importlib.metadata
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import workers
from contests import CONTESTS, FEWER, SWEPT, Contest, Entry, Held, fastest, held, rounds, strongest
from section import publish, table
from torch import nn
from workers import Team

# Worker processes import this file too, and only one of them shall hold our attacks: they are
# imported where they are needed.
if TYPE_CHECKING:
    from limits import Reached

    from unfooled.dataset import Dataset

LOCAL = Path(__file__).parent.parent / "local" / "attacks"
PACKAGES = ("torchattacks", "adv-lib", "cleverhans", "foolbox", "adversarial-robustness-toolbox")
PARTS = ("peak", "growth", "memory")
GROWTH = (1000, 3000, 9000)
MEMORY = (6000, 60000)


def trained(data: "Dataset") -> dict[str, nn.Module]:
    """The two networks, from the last run where nothing about them has changed."""
    from unfooled import model, training
    from unfooled.recipe import Plan, Recipe

    recipes = {
        "plain": Recipe("plain", "", plan=Plan(epochs=3)),
        "robust": Recipe("robust", "", defence=("adversarial", {"eps": 0.3}), plan=Plan(epochs=5)),
    }
    nets = {}
    for name, recipe in recipes.items():
        about = f"{recipe} {data.sha256} {torch.__version__}"
        file = LOCAL / f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:16]}.safetensors"
        if not file.exists():
            print(f"training the {name} network", file=sys.stderr)
            found = training.train("strided", data, recipe, 0, device=torch.device("cpu")).model
            LOCAL.mkdir(parents=True, exist_ok=True)
            file.write_bytes(model.save(found, {"about": about}))
        net = model.build("strided", channels=1, size=28, classes=10, seed=0)
        net.load_state_dict(model.weights(file.read_bytes()))
        nets[name] = net.eval()
    return nets


def shown(contest: Contest, net: str, entry: Entry) -> str:
    """Robust accuracy in percent at the network's eps, or the median distance."""
    if not entry.outcomes[0].strength:
        return "-"
    strength = entry.strength(contest.place(net))
    if contest.bounded:
        return f"{100 * strength:.1f}"
    fooled = statistics.median(one.fooled for one in entry.outcomes)
    return f"{strength:.3f}" + (f" ({100 * fooled:.0f} % found)" if fooled < 1 else "")


def summary(runs: Mapping[str, Held], contests: Sequence[Contest]) -> str:
    """A line for each contest and network: the fastest peer, by how much, and who is stronger."""
    rows = []
    for contest in contests:
        for net in contest.eps:
            fields = [one.get((contest.attack, net)) for one in runs.values()]
            first = fields[0]
            row = [contest.title, net, f"{first['unfooled'].count:,}"]
            for field in fields:
                if field is None:
                    row.append("")
                    continue
                peer = fastest(field)
                row.append(f"{peer.seconds / field['unfooled'].seconds:.2f} ({peer.library})")
            best = strongest(first, contest.place(net))
            row.append(shown(contest, net, first["unfooled"]))
            row.append(f"{shown(contest, net, best)} ({best.library})")
            rows.append(row)
    head = ["attack", "network", "images"]
    head += [f"fastest peer / unfooled, {name}" for name in runs]
    return table([*head, "unfooled reaches", "the strongest peer reaches"], rows)


def details(runs: Mapping[str, Held], contest: Contest) -> str:
    """Every library in a contest."""
    rows = []
    for net in contest.eps:
        fields = [one.get((contest.attack, net)) for one in runs.values()]
        for name, entry in fields[0].items():
            batch = "own" if entry.batch is None else f"{entry.batch:,}"
            passes = statistics.median(one.passes for one in entry.outcomes)
            seen = f"{passes:,.1f}" if passes else "-"
            row = [name, net, batch, seen, shown(contest, net, entry)]
            for field in fields:
                if field is None:
                    row += ["", ""]
                    continue
                seconds = field[name].seconds
                row += [f"{1e3 * seconds:.3g}", f"{seconds / fastest(field).seconds:.2f}"]
            rows.append(row)
    reached = "robust accuracy, %" if contest.bounded else "median L2 distance"
    head = ["library", "network", "images at once", "forward passes an image", reached]
    for name in runs:
        head += [f"ms an image, {name}", "of the fastest peer"]
    return f"### {contest.title}\n\n{table(head, rows)}"


def peak_told(found: "Reached", count: int) -> str:
    """The share of the processor's peak that PGD reaches, in words."""
    eaters = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.eaters)
    return (
        "### How much of the processor\n\n"
        f"PGD, 40 steps, on the robust network and {count:,} images, one thread: "
        f"{found.reached / 1e9:.1f} GFLOP/s, {100 * found.reached / found.peak:.0f} % of the "
        f"{found.peak / 1e9:.1f} GFLOP/s that a float32 product of two 1,024 x 1,024 matrices "
        "reaches in the same run, by MKL or by oneDNN, whichever is quicker. Counted are "
        "convolutions and products, as torch's "
        f"`FlopCounterMode` counts those of a plain pass: {found.forward / 1e6:.2f} MFLOP forward "
        f"and {(found.both - found.forward) / 1e6:.2f} MFLOP back an image. Where the time goes, "
        f"by `torch.profiler`: {eaters}."
    )


def grown_told(found: Mapping[int, float]) -> str:
    """Seconds an image for growing numbers of images, in words."""
    base = next(iter(found.values()))
    rows = [[f"{n:,}", f"{1e3 * s:.3f}", f"{s / base:.2f}"] for n, s in found.items()]
    return "### Time\n\nEvaluating PGD, 10 steps, on the robust network, one thread:\n\n" + table(
        ["images", "ms an image", f"of that with {next(iter(found)):,}"], rows
    )


def memory_told(found: Mapping[int, int | None]) -> str:
    """Peak memory for few and many images, in words."""
    if None in found.values():
        return "### Memory\n\nNot measured (only on Linux)."
    peaks = [float(peak or 0) for peak in found.values()]
    each = " and ".join(f"{p / 2**20:,.0f} MiB on {n:,}" for n, p in zip(found, peaks, strict=True))
    return (
        "### Memory\n\nEvaluating PGD, 10 steps, on images of the training set, in a process of "
        f"its own: at its peak {each} images (largest resident set): "
        f"{100 * (peaks[-1] / peaks[0] - 1):+.1f} %."
    )


def limits_told(stage: Path, parts: Sequence[str], given: argparse.Namespace) -> list[str]:
    """What `limits.py` finds, each part in words."""
    import limits

    told = []
    with Team(stage, 1, "cpu") as team:
        if "peak" in parts:
            found = team.call("unfooled", limits.reached, given.images, given.repeats)
            told.append(peak_told(found, given.images))
        if "growth" in parts:
            counts = tuple(max(1, count * given.images // 1000) for count in GROWTH)
            grown = team.call("unfooled", limits.growth, counts, given.repeats, given.data)
            told.append(grown_told(grown))
    if "memory" in parts:
        peaks = {}
        for count in MEMORY:
            with Team(stage, 1, "cpu") as team:
                peaks[count] = team.call("unfooled", limits.memory, count, given.data)
        told.append(memory_told(peaks))
    return told


def runs_of(
    stage: Path, contests: Sequence[Contest], given: argparse.Namespace, device: str
) -> dict[str, Held]:
    """All contests, for each number of threads (but the first on one network), or on the GPU."""
    runs: dict[str, Held] = {}
    for threads in given.threads if device == "cpu" else [1]:
        name = f"{threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else "GPU"
        with Team(stage, threads, device) as team:
            runs[name] = {
                (contest.attack, net): held(team, contest, net, given.images, given.repeats)
                for contest in contests
                for net in list(contest.eps)[: 1 if runs else None]
            }
    return runs


def contests_told(stage: Path, contests: Sequence[Contest], given: argparse.Namespace) -> list[str]:
    """The tables of the contests, on the processor and on a GPU."""
    runs = runs_of(stage, contests, given, "cpu")
    told = [summary(runs, contests), *(details(runs, contest) for contest in contests)]
    if not torch.cuda.is_available():
        return [*told, "There was no GPU."]
    on_gpu = runs_of(stage, contests, given, "cuda")
    told.append(f"## The same on {torch.cuda.get_device_name()}\n\n{summary(on_gpu, contests)}")
    return told + [details(on_gpu, contest) for contest in contests]


def preface(contests: Sequence[Contest]) -> str:
    """What the tables are about."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    text = (
        "The network `strided`, trained plainly for 3 epochs and attacked at Linf 0.1, and trained "
        "adversarially (eps 0.3) for 5 and attacked at Linf 0.3; L2 for DDN, FMN and HopSkipJump; "
        "the first test images. The libraries in turn, each in a process of its own; medians, CPU "
        "time with one thread and wall time with more (on the robust network alone). A library "
        "gets its images in parts of 100 or 1,000, whichever it is quicker with, and a model with "
        "frozen parameters; ours also finds out in its time which images it fooled. What comes "
        "back is judged anew: robust accuracy is the share that no attacked image inside the "
        "threat makes the network misread; the distance is the median over the images that are "
        "read correctly without attack, where one that was not made misread is infinitely far. "
        "Forward passes are images that came to the network's first layer: with ours, also those "
        "that make a pass round, and its first and last look at each image. That layer, which "
        "standardises, is no class of ours; ours calls it as it is, like the others. "
        f"{versions}."
    )
    names = [contest.attack for contest in contests]
    if "fgsm" in names:
        text += (
            f" FGSM at eps {', '.join(f'{eps:g}' for eps in SWEPT)}, accuracy at the network's "
            f"own; the tutorial's loop (`tutorial.py`) on one image of {FEWER}, in time an image."
        )
    if "autoattack" in names:
        text += (
            " AutoAttack: torchattacks' parts with the published budgets (APGD-CE 100 steps, "
            "targeted APGD and targeted FAB 100 steps for each of 9 classes, Square 5,000 "
            "queries), each on the images that still stand."
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*(contest.attack for contest in CONTESTS), *PARTS]
    parser.add_argument("--data", type=Path, help="folder of the MNIST files, or UNFOOLED_DATA")
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="PART")
    parser.add_argument("--images", type=int, default=1000, help="of PGD; the others in proportion")
    parser.add_argument("--repeats", type=int, default=5, help="alternations")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    from unfooled import dataset

    torch.set_num_threads(1)
    data = dataset.find("mnist", folder=given.data)
    contests = [contest for contest in CONTESTS if contest.attack in given.only]
    body = []
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "stage.pt"
        workers.store(stage, data.test.pixels(), data.test.labels, trained(data))
        if contests:
            body += [preface(contests), *contests_told(stage, contests, given)]
        body += limits_told(stage, [part for part in PARTS if part in given.only], given)
    by_rounds: dict[int, list[str]] = {}
    for contest in contests:
        by_rounds.setdefault(rounds(contest, given.repeats), []).append(contest.title)
    basis = f"n = {given.repeats} alternations"
    basis += "".join(
        f", {n} of {' and '.join(names)}" for n, names in by_rounds.items() if n != given.repeats
    )
    publish("attacks", "Attacks", basis, "\n\n".join(body), write=given.write)


if __name__ == "__main__":
    main()
