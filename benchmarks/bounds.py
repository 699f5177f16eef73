"""How much bounds leave open: what AutoAttack leaves, less what is shown to stand; and how long.

`--plain` and `--certified` are saved networks of a run, such as `models/plain-0.safetensors`;
`--only` takes some of the rows.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from section import publish, table
from torch import Tensor, nn

from unfooled import attack, bounds, dataset, model
from unfooled.randomness import Draws
from unfooled.threat import Threat

AT_ONCE = 50  # images of one task


@dataclass(frozen=True)
class Asked:
    """One row: a network, and how far up the ladder."""

    network: str
    eps: float
    slopes: int
    branches: int
    wanted: float  # points left open, at most


ROWS = (
    Asked("plain", 0.01, 0, 0, 1.0),
    Asked("plain", 0.02, 0, 0, 100.0),
    Asked("plain", 0.02, 5, 0, 100.0),
    Asked("plain", 0.02, 5, 200, 5.0),
    Asked("certified", 0.3, 0, 0, 100.0),
    Asked("certified", 0.3, 5, 50, 4.0),
)


@dataclass(frozen=True)
class Found:
    """What became of the images, and the seconds of one thread."""

    stands: Tensor
    falls: Tensor
    attacked: Tensor
    seconds: float


def loaded(path: Path) -> nn.Module:
    """A saved network for MNIST."""
    content = path.read_bytes()
    name = str(model.about(content)["architecture"])
    return model.restored(content, name, channels=1, size=28, classes=10).eval()


def examined(asked: Asked, path: Path, folder: Path | None, first: int, n: int) -> Found:
    """In a worker: the verdicts on some images, and what AutoAttack makes of those left open."""
    torch.set_num_threads(1)
    data, net = dataset.find("mnist", folder=folder), loaded(path)
    ids = torch.arange(first, min(first + AT_ONCE, n))
    images, labels, threat = data.test.pixels(ids), data.test.labels[ids], Threat("Linf", asked.eps)
    start = time.process_time()
    found = bounds.examined(
        net, images, labels, threat, slopes=asked.slopes, branches=asked.branches
    )
    seconds = time.process_time() - start
    attacked = found.falls.clone()
    left = (~found.stands & ~found.falls).nonzero()[:, 0]
    if len(left) and asked.wanted < 100:
        # What stands cannot be fooled, so that only the rest has to be attacked.
        draws = Draws(0, "autoattack", ids[left])
        worst = attack.find("autoattack").run(net, images[left], labels[left], threat, draws=draws)
        with torch.no_grad():
            attacked[left] = net(worst).argmax(1) != labels[left]
    return Found(found.stands, found.falls, attacked, seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--plain", type=Path, required=True)
    parser.add_argument("--certified", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--only", type=int, nargs="*", default=list(range(len(ROWS))))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = []
    with ProcessPoolExecutor(2) as pool:
        for asked in (ROWS[place] for place in given.only):
            path = getattr(given, asked.network)
            start = time.perf_counter()
            tasks = [
                pool.submit(examined, asked, path, given.data, first, given.images)
                for first in range(0, given.images, AT_ONCE)
            ]
            parts = [task.result() for task in tasks]
            wall = time.perf_counter() - start
            stands, falls, fooled = (
                torch.cat([getattr(part, name) for part in parts])
                for name in ("stands", "falls", "attacked")
            )
            seconds = sum(part.seconds for part in parts)
            assert not (stands & fooled).any()
            left = float(100 * (~stands & ~fooled).double().mean())
            lines.append(
                (
                    f"{asked.network}, eps {asked.eps:g}, {asked.slopes} slopes, "
                    f"{asked.branches} branches",
                    f"{100 * stands.double().mean():.1f}",
                    f"{100 * falls.double().mean():.1f}",
                    f"{100 * (~fooled).double().mean():.1f}" if asked.wanted < 100 else "",
                    f"{left:.1f}",
                    f"<= {asked.wanted:g}" if asked.wanted < 100 else "",
                    f"{seconds:.0f}",
                    f"{wall:.0f}",
                )
            )
            print(lines[-1], flush=True)
    head = ("", "stands, %", "falls, %", "AutoAttack leaves, %", "open, points", "wanted")
    body = table((*head, "seconds of one core", "wall seconds"), lines)
    publish(
        "bounds",
        "Bounds: what is left open",
        f"n = {given.images:,} test images",
        'Linf on the first test images of MNIST. "plain" is the `strided` of the default study, '
        'trained as any; "certified" is `strided_deep`, trained by interval bounds '
        "(`certified.toml`). Open: what AutoAttack leaves, less what is shown to stand, or what "
        "neither stands nor falls where it was not asked; of all others it need not be. Two "
        f"processes of one thread; the wall time is with AutoAttack.\n\n{body}",
        write=given.write,
    )


if __name__ == "__main__":
    main()
