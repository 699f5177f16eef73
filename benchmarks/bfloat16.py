"""What bfloat16 would bring to the gradients of an attack, and what it would cost.

A chain's convolutions and products in bfloat16, their sums and the logits in float32, against the
chain as it is. First the time of a gradient, in turn, on our three networks; then PGD with 40 steps
on the two of attacks.py, each fooled image confirmed in float32, as an attack would have to: time,
robust accuracy, and how many images are decided otherwise when they come in other batches.
"""

import argparse
import dataclasses
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from attacks import trained
from contests import NETS
from section import publish, table
from torch import Tensor

from unfooled import dataset, kernels, model
from unfooled.chain import Chain, chain
from unfooled.gradients import frozen, gradient, rounded
from unfooled.kernels import channels_last
from unfooled.layers import Bend, Conv, Layer, Linear
from unfooled.losses import cross_entropy, fooled, margin
from unfooled.randomness import Draws
from unfooled.threat import Threat

HALF = torch.bfloat16
PASSES = {"strided": 160, "lenet": 64, "tutorial_cnn": 64}  # and the images of a pass
STEPS = 40
DOUBT = 0.02  # of the largest logit: so near the boundary an image is asked about in float32


@dataclass(frozen=True)
class Turned:
    """Numbers turned into another kind, and gradients back."""

    to: torch.dtype
    back_to: torch.dtype

    def through(self, given: Tensor) -> Tensor:
        return given.to(self.to)

    def there(self, given: Tensor) -> tuple[Tensor, None]:
        return self.through(given), None

    def back(self, gradient: Tensor, _: None) -> Tensor:
        return gradient.to(self.back_to)


def halved(layer: Layer) -> Layer:
    """A layer with its weights in bfloat16."""
    if isinstance(layer, Bend):
        return Bend(halved(layer.layer))  # type: ignore[arg-type]
    if isinstance(layer, Linear):
        return Linear(layer.weight.to(HALF), layer.bias.to(HALF))  # type: ignore[union-attr]
    if not isinstance(layer, Conv):
        return layer
    weight = channels_last(layer.weight.to(HALF))
    if layer.weight.shape[1] > 4:
        back = kernels.by_input(weight.contiguous(), layer.stride, layer.padding)
    else:  # its sums are taken in float32

        def back(gradient: Tensor, shape: torch.Size) -> Tensor:
            return layer.way_back(gradient.float(), shape)

    bias = None if layer.bias is None else layer.bias.to(HALF)
    return dataclasses.replace(layer, weight=weight, bias=bias, way_back=back)


def in_half(whole: Chain) -> Chain:
    """A chain in bfloat16 from its first convolution to its logits."""
    heavy = [place for place, one in enumerate(whole.layers) if isinstance(one, Conv | Bend)]
    first = heavy[0]
    inside = [halved(one) for one in whole.layers[first:]]
    down, up = Turned(HALF, torch.float32), Turned(torch.float32, HALF)
    return Chain((*whole.layers[:first], down, *inside, up))


def passes(repeats: int) -> list[list[str]]:
    """A gradient on each network, in both kinds."""
    rows = []
    for name, count in PASSES.items():
        net = model.build(name, channels=1, size=28, classes=10, seed=0)
        images = Draws(0).uniform(torch.empty(count, 1, 28, 28))
        labels = torch.arange(count) % 10
        with frozen(net):
            whole = chain(net, images)
            ways = [whole, in_half(whole)]
            found: list[list[float]] = [[], []]
            for repeat in range(repeats + 1):
                for way, seconds in zip(ways, found, strict=True):
                    start = time.process_time()
                    for _ in range(10):
                        gradient(way, images, labels, None, cross_entropy)
                    one = (time.process_time() - start) / 10 / count
                    seconds += [one] * (repeat > 0)  # the first is a warm-up
            signs = [gradient(way, images, labels, None, cross_entropy)[2].sign() for way in ways]
        other = float((signs[0] != signs[1]).float().mean())
        full, half = (1e6 * statistics.median(seconds) for seconds in found)
        numbers = [f"{full:.1f}", f"{half:.1f}", f"{full / half:.2f}", f"{100 * other:.1f}"]
        rows.append([name, str(count), *numbers])
    return rows


def pgd(way: Chain, exact: Chain, data: dataset.Split, count: int, eps: float, part: int) -> Tensor:
    """Whether each image stands; a part goes through the network at once, 1,000 are in hand."""
    images, labels = data.pixels()[:count], data.labels[:count]
    threat, at_once = Threat("Linf", eps), 1000 if part > 100 else part
    stands = torch.cat([exact(some) for some in images.split(part)]).argmax(1) == labels
    for first in range(0, count, at_once):
        rows = torch.arange(first, min(first + at_once, count))
        rows = rows[stands[rows]]
        current = threat.random_start(images[rows], Draws(0).at(rows))
        for _ in range(STEPS):
            logits, by_pixel = asked(way, current, labels[rows], part)
            doubtful = margin(logits, labels[rows]) > -DOUBT * logits.abs().amax(1)
            read = logits.clone()
            if way is not exact and doubtful.any():
                read[doubtful] = torch.cat([exact(one) for one in current[doubtful].split(part)])
            done = fooled(read, labels[rows])
            stands[rows[done]] = False
            rows, current, by_pixel = rows[~done], current[~done], by_pixel[~done]
            if not len(rows):
                break
            step = by_pixel.sign().mul_(2.5 * eps / STEPS)
            current = threat.project(images[rows], step.add_(current))
        if len(rows):
            last = torch.cat([exact(one) for one in current.split(part)])
            stands[rows[fooled(last, labels[rows])]] = False
    return stands


def asked(way: Chain, images: Tensor, labels: Tensor, part: int) -> tuple[Tensor, Tensor]:
    """Logits and gradient, a part at a time."""
    found = []
    for some, own in zip(images.split(part), labels.split(part), strict=True):
        missing = rounded(len(some)) - len(some)
        some = torch.cat([some, some[-1:].expand(missing, -1, -1, -1)])
        own = torch.cat([own, own[-1:].expand(missing)])
        logits, _, by_pixel = gradient(way, some, own, None, cross_entropy)
        found.append((logits[: len(logits) - missing], by_pixel[: len(by_pixel) - missing]))
    return torch.cat([one for one, _ in found]), torch.cat([one for _, one in found])


@torch.no_grad()
def attacked(data: dataset.Dataset, count: int, repeats: int) -> list[list[str]]:
    """PGD on both networks, in both kinds."""
    rows = []
    for name, net in trained(data).items():
        with frozen(net):
            whole = chain(net, data.test.pixels()[:2])
            ways = {"float32": whole, "bfloat16": in_half(whole)}
            seconds: dict[str, list[float]] = {kind: [] for kind in ways}
            for repeat in range(repeats + 1):
                for kind, way in ways.items():
                    start = time.process_time()
                    pgd(way, whole, data.test, count, NETS[name], 160)
                    one = time.process_time() - start
                    seconds[kind] += [one] * (repeat > 0)
            for kind, way in ways.items():
                one, two = (pgd(way, whole, data.test, count, NETS[name], p) for p in (160, 70))
                ms = 1e3 * statistics.median(seconds[kind]) / count
                stands = f"{100 * float(one.float().mean()):.1f}"
                rows.append([name, kind, f"{ms:.3f}", stands, str(int((one != two).sum()))])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files, or UNFOOLED_DATA")
    parser.add_argument("--images", type=int, default=1000, help="of PGD")
    parser.add_argument("--repeats", type=int, default=5, help="alternations")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = dataset.find("mnist", folder=given.data)
    head = ["network", "images a pass", "float32, µs an image", "bfloat16, µs an image", "ratio"]
    gains = table([*head, "signs that differ, %"], passes(given.repeats))
    head = ["network `strided`", "gradients in", "ms an image", "robust accuracy, %"]
    ends = attacked(data, given.images, given.repeats)
    body = (
        "A gradient by a chain with its convolutions and products in either kind, one thread, "
        f"medians:\n\n{gains}\n\nPGD, {STEPS} steps, {given.images:,} images, with every fooled "
        "image confirmed in float32; decided otherwise are those of all images whose answer "
        "changes when passes hold 70 images instead of 160:\n\n"
        f"{table([*head, 'decided otherwise'], ends)}\n\nAttacks here take gradients in float32: "
        "see [speed.md](speed.md)."
    )
    basis = f"n = {given.repeats} alternations"
    publish("bfloat16", "Gradients in bfloat16", basis, body, write=given.write)


if __name__ == "__main__":
    main()
