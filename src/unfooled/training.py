"""One training loop for every recipe.

All data lies in one tensor on the device. Recipes are paired by seed: seed s starts from the same
weights and meets the images in the same order in every recipe.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unfooled import attack, defence, model, transform
from unfooled.dataset import Dataset, Split
from unfooled.errors import JobFailed
from unfooled.gradients import predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.shapes import Images
from unfooled.transform import Apply

_WATCHED = 500  # training images, at most, on which catastrophic overfitting is looked for


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Attributes:
        loss: mean over the epoch's training images.
        validation: share of the validation images that is read correctly.
        transformed: the same, with the recipe's transformations applied to them.
        single_step: share of some training images that stands against one full step, and
        several_steps: against ten small ones; both None for a recipe without eps.
    """

    loss: float
    validation: float
    transformed: float
    single_step: float | None = None
    several_steps: float | None = None


@dataclass(frozen=True)
class Trained:
    """A network and how it came about.

    Attributes:
        model: on the CPU, in eval mode.
        history: one entry an epoch.
        overfitted: the epoch, counted from 1, after which the network had lost its robustness to
            several steps but not to one (catastrophic overfitting) without finding it again; the
            weights are then those of the most robust epoch. None if it did not.
    """

    model: nn.Module
    history: tuple[Epoch, ...]
    overfitted: int | None


def train(
    architecture: str,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device,
    report: Callable[[float], None] = lambda _: None,
) -> Trained:
    """A network trained by a recipe.

    Args:
        architecture: a name in `models/`.
        dataset: its training split is learned from, its validation split measured after each epoch.
        recipe: what to do.
        seed: weights, order and all other chance.
        device: where to compute.
        report: called with the share of the work that is done.

    Raises:
        JobFailed: the loss became NaN or infinite.
        UnknownName, InvalidOption, InvalidTransform, InvalidModel: the recipe does not fit.
    """
    shape = {"channels": dataset.channels, "size": dataset.size}
    network = model.build(architecture, **shape, classes=len(dataset.classes), seed=seed).to(device)
    loop = _Loop(
        network=network,
        data=_on(dataset.train, device),
        validation=_on(dataset.validation, device),
        change=transform.composed([transform.find(n, o, **shape) for n, o in recipe.transforms]),
        loss=defence.find(recipe.defence[0], **recipe.defence[1]),
        plan=recipe.plan,
        draws=Draws(seed, "training"),
        report=report,
    )
    with loop.draws.step("dropout").torch_state():
        history, overfitted = loop.run()
    return Trained(network.cpu().eval(), tuple(history), overfitted)


@dataclass(frozen=True)
class _Loop:
    network: nn.Module
    data: Split
    validation: Split
    change: Apply
    loss: defence.Defence
    plan: Plan
    draws: Draws
    report: Callable[[float], None]

    def run(self) -> tuple[list[Epoch], int | None]:
        steps = self.plan.epochs * self._steps()
        rate = self.plan.learning_rate
        adam = torch.optim.Adam(self.network.parameters(), lr=rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, rate, total_steps=steps)
        history: list[Epoch] = []
        best, kept = -1.0, self.network.state_dict()
        for epoch in range(self.plan.epochs):
            mean = self._epoch(epoch, adam, schedule)
            history.append(self._measured(mean, epoch))
            robust = history[-1].several_steps
            if robust is not None and robust > best:
                best, kept = robust, copy.deepcopy(self.network.state_dict())
        if not collapsed(history):
            return history, None
        self.network.load_state_dict(kept)
        healthy = max(e for e in range(len(history)) if not collapsed(history[: e + 1]))
        return history, healthy + 2

    def _steps(self) -> int:
        return max(1, len(self.data) // self.plan.batch_size)

    def _epoch(
        self,
        epoch: int,
        adam: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> float:
        draws = self.draws.step(epoch)
        order = draws.step("order").order(len(self.data)).to(self.data.labels.device)
        total = torch.zeros((), device=order.device)
        steps = self._steps()
        self.network.train()
        for step, batch in enumerate(order.split(self.plan.batch_size)[:steps]):
            done = (epoch + step / steps) / self.plan.epochs
            images = self.change(self.data.pixels(batch), draws.step("transform").at(batch))
            losses = self.loss.function(
                self.network,
                images,
                self.data.labels[batch],
                draws=draws.step("defence").at(batch),
                progress=done,
                **self.loss.options,
            )
            mean = losses.mean()
            adam.zero_grad()
            mean.backward()
            adam.step()
            schedule.step()
            total += mean.detach()
            if step % 20 == 0:
                self._check(total, epoch, step)
                self.report(done)
        self._check(total, epoch, steps)
        return float(total) / steps

    def _check(self, total: torch.Tensor, epoch: int, step: int) -> None:
        if not bool(total.isfinite()):
            raise JobFailed(
                f"the training loss became {float(total)} in epoch {epoch + 1}, by step {step + 1}"
                "; a lower learning_rate may help"
            )

    def _measured(self, loss: float, epoch: int) -> Epoch:
        images, labels = self.validation.pixels(), self.validation.labels
        changed = self.change(images, self.draws.step("validation").step(epoch))
        single, several = self._stands("fgsm"), self._stands("pgd", steps=10)
        return Epoch(
            loss=loss,
            validation=_accuracy(self.network, images, labels),
            transformed=_accuracy(self.network, changed, labels),
            single_step=single,
            several_steps=several,
        )

    def _stands(self, name: str, **options: Any) -> float | None:
        """Share of some training images that an attack within the defence's eps leaves standing."""
        threat = self.loss.threat
        if threat is None:
            return None
        few = torch.arange(min(_WATCHED, max(1, len(self.data) // 10)))
        images, labels = self.data.pixels(few), self.data.labels[few]
        attacked = attack.find(name, **options).run(
            self.network, images, labels, threat, draws=self.draws.step("watch")
        )
        return _accuracy(self.network, attacked, labels)


def collapsed(history: Sequence[Epoch]) -> bool:
    """Whether the last epoch lost the robustness to several steps that an earlier one had.

    A small gap between one step and several is ordinary; here the several-step accuracy fell below
    half of its best while the single-step accuracy stayed above that best.

    Source: Wong et al. 2020, https://arxiv.org/abs/2001.03994, section 5.2 (catastrophic
    overfitting, found by a small PGD on training images).
    """
    last = history[-1]
    if last.single_step is None or last.several_steps is None:
        return False
    best = max(epoch.several_steps or 0.0 for epoch in history)
    return last.several_steps < best / 2 and last.single_step > best


def _accuracy(network: nn.Module, images: Images, labels: torch.Tensor) -> float:
    return 1 - float(fooled(predict(network, images), labels).float().mean())


def _on(split: Split, device: torch.device) -> Split:
    return Split(split.images.to(device), split.labels.to(device))
