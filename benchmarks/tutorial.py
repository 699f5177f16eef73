"""The study's steps as tutorials write them, to be measured against ours.

Training after PyTorch's basic MNIST example: torchvision's MNIST, transformations image by image,
a DataLoader of 64, Adadelta with a rate of 1 that falls to 0.7 of it after each epoch. The attack
after PyTorch's FGSM tutorial: image by image, `loss.backward()`, anew for each eps. The network is
our default, its normalisation moved into the transformations, where tutorials have it.
"""

import gzip
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from unfooled import idx, model

MEAN, STD = 0.1307, 0.3081
BATCH = 64

Loader = DataLoader[Any]
Change = Callable[[Any], Any]


@contextmanager
def unpacked(home: Path) -> Iterator[Path]:
    """A root folder for torchvision with the files of `home`, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as root:
        raw = Path(root) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for file in idx.FILES:
            content = gzip.decompress((home / file).read_bytes())
            (raw / file.removesuffix(".gz")).write_bytes(content)
        yield Path(root)


def loader(
    root: Path,
    which: Sequence[int] | None = None,
    *,
    on_pictures: Sequence[Change] = (),
    on_tensors: Sequence[Change] = (),
    test: bool = False,
    shuffle: bool = False,
    batch: int = 1000,
) -> Loader:
    """Images of MNIST in a loader; transformed one by one, as PIL pictures and then as tensors."""
    normal = transforms.Normalize((MEAN,), (STD,))
    steps = transforms.Compose([*on_pictures, transforms.ToTensor(), *on_tensors, normal])
    images = datasets.MNIST(str(root), train=not test, transform=steps)
    some = images if which is None else Subset(images, which)
    return DataLoader(some, batch_size=batch, shuffle=shuffle)


def network(seed: int) -> nn.Module:
    """Our default network without its first layer, which normalises."""
    whole = model.build("strided", channels=1, size=28, classes=10, seed=seed)
    return nn.Sequential(*list(whole.children())[1:])


def optimizer_of(net: nn.Module) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.StepLR]:
    """The example's optimizer and its schedule, to be stepped after each epoch."""
    adadelta = torch.optim.Adadelta(net.parameters(), lr=1.0)
    return adadelta, torch.optim.lr_scheduler.StepLR(adadelta, step_size=1, gamma=0.7)


def train_epoch(net: nn.Module, images: Loader, optimizer: torch.optim.Optimizer) -> None:
    """One pass over the images."""
    net.train()
    for data, target in images:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(data), target)
        loss.backward()
        optimizer.step()


def accuracy(net: nn.Module, images: Loader) -> float:
    """Share of the images that is read correctly."""
    net.eval()
    correct = 0
    with torch.no_grad():
        for data, target in images:
            correct += int((net(data).argmax(dim=1) == target).sum())
    return correct / len(images.dataset)  # type: ignore[arg-type]


def fgsm_accuracy(net: nn.Module, images: Loader, eps: float) -> float:
    """Share of the images that is read correctly after FGSM; the loader gives one at a time."""
    net.eval()
    correct = 0
    for data, target in images:
        data.requires_grad = True
        output = net(data)
        if output.argmax(dim=1).item() != target.item():
            continue
        loss = F.cross_entropy(output, target)
        net.zero_grad()
        loss.backward()
        pixels = data.detach() * STD + MEAN
        perturbed = torch.clamp(pixels + eps * data.grad.sign(), 0, 1)
        final = net((perturbed - MEAN) / STD).argmax(dim=1)
        correct += int(final.item() == target.item())
    return correct / len(images)
