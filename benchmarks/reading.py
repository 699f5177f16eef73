"""Memory that reading a file of somebody else's takes, beside the file's own size.

Each file is made and read in processes of their own. What is taken is the most anonymous memory of
the reading process, less what it had before: pages of files can be given back at any time.
"""

import argparse
import io
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import section
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from unfooled import checkpoint, dataset, loading, packing

_MIB = 2**20
_EVERY = 0.002  # seconds between two looks at the memory
_WEIGHTS = 50_000_000  # numbers of four bytes
_WIDE = 60_000  # units of the layer of the program
_PIXELS = 4096  # a side
_SPLITS = [f"{split}/{name}" for split in ("train", "test") for name in "ab"]
_EACH = 6  # images in each of them


def _safetensors(place: Path) -> None:
    save_file({"weight": torch.rand(_WEIGHTS)}, place / "net.safetensors")


def _pt(place: Path) -> None:
    torch.save({"weight": torch.rand(_WEIGHTS)}, place / "net.pt")


def _pt2(place: Path) -> None:
    layers = (nn.Flatten(), nn.Linear(784, _WIDE), nn.ReLU(), nn.Linear(_WIDE, 10))
    shapes = ({0: torch.export.Dim("batch")},)
    example = (torch.rand(2, 1, 28, 28),)
    made = torch.export.export(nn.Sequential(*layers).eval(), example, dynamic_shapes=shapes)
    torch.export.save(made, place / "net.pt2")


def _facts(place: Path) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, zeros=np.zeros(60 * _MIB, np.uint8))
    (place / "facts.npz").write_bytes(packed.getvalue())


def _images(place: Path) -> None:
    for folder in _SPLITS:
        (place / folder).mkdir(parents=True)
        for number in range(_EACH):
            image = Image.new("RGB", (_PIXELS, _PIXELS), (number, 0, 0))
            image.save(place / folder / f"{number}.png")


def _read(place: Path) -> object:
    found = next((path for path in place.iterdir() if path.is_file()), place)
    if found.suffix == ".npz":
        return packing.unpacked(found.read_bytes())
    if found.suffix == ".pt2":
        return loading.load(str(found), channels=1, size=28, classes=10)
    if found.suffix:
        return checkpoint.read(found)
    return dataset.find("image_folder", folder=place)


def _taken(place: Path, answers: "multiprocessing.SimpleQueue[int]") -> None:
    """Bytes that reading takes at most."""
    most, ended = [_anonymous()], threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY):
            most.append(max(most[-1], _anonymous()))

    looks = threading.Thread(target=look)
    looks.start()
    _read(place)
    ended.set()
    looks.join()
    answers.put(most[-1] - most[0])


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measured(make: Callable[[Path], None]) -> tuple[int, int]:
    """Bytes of the file or files, and of what reading them takes."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for target, given in ((make, (Path(folder),)), (_taken, (Path(folder), answers))):
            process = context.Process(target=target, args=given)
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{make.__name__} could not be measured")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return size, answers.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    start = time.monotonic()
    rows = []
    for name, make in (
        ("weights, `.safetensors`", _safetensors),
        ("weights, `.pt`", _pt),
        ("program, `.pt2`, and one look at its network", _pt2),
        ("facts of zeros, `.npz`", _facts),
        (f"{len(_SPLITS) * _EACH} black images of {_PIXELS:,} pixels a side", _images),
    ):
        size, taken = measured(make)
        rows.append([name, f"{size / _MIB:,.2f}", f"{taken / _MIB:,.0f}", f"{taken / size:,.1f}"])
    head = ["what is read", "file, MiB", "most memory, MiB", "times its size"]
    basis = f"one measurement each, {time.monotonic() - start:.0f} s in all"
    section.publish(
        "reading.py", "What reading takes", basis, section.table(head, rows), write=asked.write
    )


if __name__ == "__main__":
    main()
