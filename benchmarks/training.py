"""Seconds to 98.9 % and 99.0 % on MNIST's test images, and transformed images a second.

Ours is `training.train` on the default network; its time is that of the shortest plan of 1 to 8
epochs whose final test accuracy reaches the mark, with its validation after each epoch. The
tutorial's (`tutorial.py`) is the time of its training epochs until a test reaches the mark, without
the tests. Both pick by the test images, so these are times, not results. CPU seconds of one thread,
the two in turn for each seed.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import tutorial
from section import publish, table

from unfooled import dataset, training, transform
from unfooled.dataset import Dataset
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe

MARKS = (0.989, 0.990)
BATCH = 128

Times = dict[float, float]  # seconds to each mark that was reached


def ours(data: Dataset, seed: int, most: int) -> Times:
    """The time of the shortest plan that reaches each mark."""
    times: Times = {}
    for epochs in range(1, most + 1):
        recipe = Recipe("plain", "No transformations", plan=Plan(epochs=epochs))
        start = time.process_time()
        trained = training.train("strided", data, recipe, seed, device=torch.device("cpu"))
        seconds = time.process_time() - start
        wrong = fooled(predict(trained.model, data.test.pixels()), data.test.labels)
        if _reached(times, 1 - float(wrong.float().mean()), seconds, f"ours, {epochs} epochs"):
            break
    return times


def theirs(root: Path, seed: int, most: int) -> Times:
    """The time of the tutorial's epochs until each mark is reached."""
    torch.manual_seed(seed)
    images = tutorial.loader(root, shuffle=True, batch=tutorial.BATCH)
    tests = tutorial.loader(root, test=True)
    net = tutorial.network(seed)
    optimizer, schedule = tutorial.optimizer_of(net)
    times: Times = {}
    seconds = 0.0
    for epoch in range(1, most + 1):
        start = time.process_time()
        tutorial.train_epoch(net, images, optimizer)
        schedule.step()
        seconds += time.process_time() - start
        if _reached(times, tutorial.accuracy(net, tests), seconds, f"tutorial, epoch {epoch}"):
            break
    return times


def _reached(times: Times, accuracy: float, seconds: float, what: str) -> bool:
    """Whether every mark is reached; notes those that are reached for the first time."""
    print(f"{what}: {100 * accuracy:.2f} % after {seconds:.1f} s", file=sys.stderr)
    for mark in MARKS:
        if accuracy >= mark:
            times.setdefault(mark, seconds)
    return len(times) == len(MARKS)


def time_to_marks(data: Dataset, root: Path, seeds: int, most: tuple[int, int]) -> str:
    """The table of the first half."""
    found = [(ours(data, seed, most[0]), theirs(root, seed, most[1])) for seed in range(seeds)]
    rows = []
    for mark in MARKS:
        mine = [one.get(mark, math.inf) for one, _ in found]
        other = [one.get(mark, math.inf) for _, one in found]
        middle, middle_of_other = statistics.median(mine), statistics.median(other)
        both = math.isfinite(middle) and math.isfinite(middle_of_other)
        ratio = f"{middle_of_other / middle:.1f}" if both else "-"
        rows.append([f"{100 * mark:.1f} %", _shown(mine), _shown(other), ratio])
    return table(["test accuracy", "unfooled, s", "tutorial, s", "ratio of medians"], rows)


def _shown(times: list[float]) -> str:
    """Median and range, and how many never got there."""
    missing = sum(map(math.isinf, times))
    if missing == len(times):
        return "never"
    middle = statistics.median(times)
    shown = f"{middle:.1f}" if math.isfinite(middle) else "never"
    got = [one for one in times if math.isfinite(one)]
    text = f"{shown} ({min(got):.1f} to {max(got):.1f})"
    return f"{text}, {missing} of {len(times)} never" if missing else text


def transformed_per_second(data: Dataset, images: int, repeats: int) -> str:
    """The table of the second half."""
    from kornia.augmentation import RandomAffine
    from torchvision.transforms import InterpolationMode, v2

    pixels = data.train.part(0, images).pixels()
    options = {"degrees": 15, "translate": [0.1, 0.1], "scale": [0.9, 1.1]}
    mine = transform.find(
        "RandomAffine", {**options, "interpolation": "bilinear"}, channels=1, size=28
    )
    draws = Draws(0, "benchmark")
    kornias = RandomAffine(15.0, translate=(0.1, 0.1), scale=(0.9, 1.1), same_on_batch=False, p=1.0)
    torchvisions = v2.RandomAffine(**options, interpolation=InterpolationMode.BILINEAR)
    pictures = [v2.functional.to_pil_image(image) for image in pixels]
    batches = torch.arange(len(pixels)).split(BATCH)
    ways: dict[str, Callable[[], object]] = {
        "unfooled, batches of 128": lambda: [mine.apply(pixels[b], draws.at(b)) for b in batches],
        "kornia, batches of 128": lambda: [kornias(pixels[b]) for b in batches],
        "torchvision, image by image, tensors": lambda: [torchvisions(one) for one in pixels],
        "torchvision, image by image, PIL": lambda: [torchvisions(one) for one in pictures],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    rates = {name: len(pixels) / statistics.median(times) for name, times in seconds.items()}
    own = next(iter(rates.values()))
    rows = [[name, f"{rate:,.0f}", f"{own / rate:.1f}"] for name, rate in rates.items()]
    return table(["RandomAffine", "images a second", "unfooled / this"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files, or UNFOOLED_DATA")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="of our longest plan")
    parser.add_argument("--tutorial-epochs", type=int, default=14, help="at most")
    parser.add_argument("--images", type=int, default=10000, help="to transform")
    parser.add_argument("--repeats", type=int, default=5, help="alternations of the transforming")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = dataset.find("mnist", folder=given.data)
    rates = transformed_per_second(data, given.images, given.repeats)
    with tutorial.unpacked(Path(data.source)) as root:
        most = (given.epochs, given.tutorial_epochs)
        times = time_to_marks(data, root, given.seeds, most)
    body = (
        "CPU seconds of one thread until the network `strided` reads that share of MNIST's 10,000 "
        "test images: the median over the seeds, and in parentheses the range. unfooled trains on "
        "55,000 images, and its time is that of the shortest plan of 1 to "
        f"{given.epochs} epochs that ends there; the tutorial trains on 60,000 for at most "
        f"{given.tutorial_epochs} epochs, and its time is that of its epochs until it gets there, "
        f"without its tests.\n\n{times}\n\n"
        "Rotation by up to 15 degrees, shift by up to a tenth, scale 0.9 to 1.1, bilinear, on one "
        f"thread: medians of {given.repeats} alternations over {given.images:,} images. Conversion "
        f"to and from PIL is not counted.\n\n{rates}"
    )
    basis = f"n = {given.seeds} seeds"
    publish("training", "Training and transformations", basis, body, write=given.write)


if __name__ == "__main__":
    main()
