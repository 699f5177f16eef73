"""The ways to train adversarially that robust_training.py compares, each in its library's words.

Every function is a way: it prepares one epoch and returns the call that is timed. All train the
network `strided` on the same first training images, from a random start inside eps. The imports
stand inside, so that the process of one library holds no other, ours included.

ART is asked in each of its ways. `AdversarialTrainerMadryPGD` crafts 32 images at a time, whatever
the batch, so the same is asked once more of its `AdversarialTrainer` with a whole batch at a time.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import workers
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

BATCH = 128
RATE = 0.005
_TRIED = 4  # images, at most, of a pass by which ours only tries a way out

Way = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """What is asked for: an epoch on so many images, each moved by so many steps.

    Attributes:
        step_size: as a share of eps.
        eps: one at which a single step does not overfit catastrophically within an epoch, as it
            does at 0.3: ours would see that and go on with twice the steps.
    """

    images: int
    steps: int
    step_size: float
    eps: float = 0.1

    @property
    def step(self) -> float:
        """In pixel units."""
        return self.step_size * self.eps


@dataclass(frozen=True)
class Passes:
    """Images that went through the network in an epoch, for each image of the epoch.

    Attributes:
        forward: all.
        by_pixel, by_weight: those of them that came back for that gradient.
    """

    forward: float
    by_pixel: float
    by_weight: float


def unfooled(task: Task, folder: Path | None) -> Way:
    """Ours, with all that it does in an epoch: looks for catastrophic overfitting, validation."""
    from unfooled import dataset, training
    from unfooled.recipe import Plan, Recipe

    data = dataset.find("mnist", folder=folder)
    held = max(1, task.images * len(data.validation) // len(data.train))
    train, validation = data.train.part(0, task.images), data.validation.part(0, held)
    part = replace(data, train=train, validation=validation)
    options = {"eps": task.eps, "steps": task.steps, "step_size": task.step_size}
    plan = Plan(epochs=1, batch_size=BATCH, learning_rate=RATE)
    recipe = Recipe("robust", "", defence=("adversarial", options), plan=plan)

    def way() -> None:
        found = training.train("strided", part, recipe, 0, device=torch.device("cpu"))
        if found.overfitted:
            raise SystemExit("the training overfitted catastrophically; its time says nothing")

    return way


def hand_written(task: Task, folder: Path | None) -> Way:
    """As a tutorial writes it; but with all images in memory as numbers, so no loader is timed."""
    net = _network()
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    images, labels = _images(task)

    def way() -> None:
        net.train()
        for batch in torch.randperm(len(images)).split(BATCH):
            x, y = images[batch], labels[batch]
            delta = torch.empty_like(x).uniform_(-task.eps, task.eps)
            for _ in range(task.steps):
                delta.requires_grad_()
                loss = F.cross_entropy(net(torch.clamp(x + delta, 0, 1)), y)
                loss.backward()
                moved = delta.detach() + task.step * delta.grad.sign()
                delta = torch.clamp(moved, -task.eps, task.eps)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(torch.clamp(x + delta, 0, 1)), y)
            loss.backward()
            optimizer.step()

    return way


def art_madry(task: Task, folder: Path | None) -> Way:
    """ART's training of Madry et al., as it comes."""
    from art.defences.trainer import AdversarialTrainerMadryPGD

    trainer = AdversarialTrainerMadryPGD(
        _classifier(_adam),
        nb_epochs=1,
        batch_size=BATCH,
        eps=task.eps,
        eps_step=task.step,
        max_iter=task.steps,
        num_random_init=1,
    )
    return _fitted(trainer, task)


def art_whole_batches(task: Task, folder: Path | None) -> Way:
    """ART's general trainer with PGD on a whole batch at a time."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.defences.trainer import AdversarialTrainer

    classifier = _classifier(_adam)
    pgd = ProjectedGradientDescent(
        classifier,
        eps=task.eps,
        eps_step=task.step,
        max_iter=task.steps,
        num_random_init=1,
        batch_size=BATCH,
        verbose=False,
    )
    return _fitted(AdversarialTrainer(classifier, pgd, ratio=1.0), task)


def art_fast(task: Task, folder: Path | None) -> Way:
    """ART's "fast is better than free": one step of 1.25 eps, SGD at rates of its own."""
    from art.defences.trainer import AdversarialTrainerFBFPyTorch

    return _fitted(AdversarialTrainerFBFPyTorch(_classifier(_sgd), eps=task.eps), task)


WAYS: dict[str, Callable[[Task, Path | None], Way]] = {
    "unfooled": unfooled,
    "hand-written loop": hand_written,
    "ART, AdversarialTrainerMadryPGD": art_madry,
    "ART, AdversarialTrainer, 128 at a time": art_whole_batches,
    "ART, AdversarialTrainerFBFPyTorch": art_fast,
}


def timed(way: str, task: Task, folder: Path | None) -> float:
    """Seconds of one epoch, in the worker of that library."""
    torch.manual_seed(0)
    np.random.seed(0)  # what ART draws from
    epoch = WAYS[way](task, folder)
    clock = workers.stage().clock
    start = clock()
    epoch()
    return clock() - start


def counted(way: str, task: Task, folder: Path | None) -> Passes:
    """The passes of one epoch, counted where images come to the first convolution."""
    found = {"forward": 0, "by_pixel": 0, "by_weight": 0}

    def note(module: nn.Module, given: tuple[Any, ...]) -> None:
        if not isinstance(module, nn.Conv2d) or module.in_channels > 1 or len(given[0]) <= _TRIED:
            return
        back = torch.is_grad_enabled()
        found["forward"] += len(given[0])
        found["by_pixel"] += len(given[0]) * (back and given[0].requires_grad)
        found["by_weight"] += len(given[0]) * (back and module.weight.requires_grad)

    epoch = WAYS[way](task, folder)
    handle = register_module_forward_pre_hook(note)
    try:
        epoch()
    finally:
        handle.remove()
    return Passes(**{name: count / task.images for name, count in found.items()})


def _network() -> nn.Module:
    return copy.deepcopy(workers.stage().nets["strided"]).requires_grad_()


def _images(task: Task) -> tuple[Tensor, Tensor]:
    return workers.stage().images[: task.images], workers.stage().labels[: task.images]


def _adam(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=RATE)


def _sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=RATE)


class _Whole(nn.Module):
    """A network as a whole; of an `nn.Sequential` one of ART's trainers reads the first layer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


def _classifier(optimizer: Callable[[nn.Module], torch.optim.Optimizer]) -> Any:
    from art.estimators.classification import PyTorchClassifier

    net = _network()
    return PyTorchClassifier(
        _Whole(net),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer(net),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def _fitted(trainer: Any, task: Task) -> Way:
    images, labels = _images(task)
    x, y = images.numpy(), F.one_hot(labels, 10).float().numpy()
    return lambda: trainer.fit(x, y, batch_size=BATCH, nb_epochs=1)
