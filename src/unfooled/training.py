"""One training loop for every recipe.

Images stay bytes, where the data set keeps them, until their batch comes. Recipes are paired by
seed: seed s starts from the same weights and meets the images in the same order in every recipe.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unfooled import attack, defence, memory, model, transform
from unfooled.dataset import Dataset, Split
from unfooled.defence import Defence
from unfooled.errors import JobFailed
from unfooled.gradients import home, predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.shapes import Images, Labels, PerImage
from unfooled.transform import Apply, Mix

_WATCHED = 500  # training images, at most, on which catastrophic overfitting is looked for
_CARRIED = 2**32  # bytes of images, at most, that are brought to the device once and for all
_MANY = 0.7  # of those, which one step must leave standing
_WATCHABLE = ("Linf", "L2", "L1")  # norms of the attacks that look for it
_LOOKS = 4  # times an epoch that it is looked for
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Look:
    """How a network stands within the eps that its defence has reached, on some training images.

    Attributes:
        single_step: share of the images that stands against one full step.
        several_steps: share that stands against ten small ones.
    """

    single_step: float
    several_steps: float


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Attributes:
        loss: mean over the epoch's training images.
        validation: share of the validation images that is read correctly.
        transformed: the same, with the recipe's transformations applied to them.
        single_step, several_steps: see `Look`; both None for a recipe without eps.
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
        overfitted: the epoch, counted from 1, in which the network first lost its robustness to
            several steps but not to one (catastrophic overfitting). Its weights were then put back
            to those of the look before, and it went on with twice the steps. None if it never did,
            or if its defence takes no steps or many.
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
    device: torch.device = _CPU,
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
        OutOfMemory: memory has no room for a batch, which is part of the recipe and not halved.
        UnknownName, InvalidOption, InvalidTransform, InvalidModel: the recipe does not fit.
    """
    shape = {"channels": dataset.channels, "size": dataset.size}
    network = model.build(architecture, **shape, classes=len(dataset.classes), seed=seed).to(device)
    changes = [transform.find(name, options, **shape) for name, options in recipe.transforms]
    loop = _Loop(
        network=network,
        data=_on(dataset.train, device),
        validation=_on(dataset.validation, device),
        change=transform.composed(changes),
        mix=transform.mixing(changes),
        loss=defence.find(recipe.defence[0], **recipe.defence[1]),
        plan=recipe.plan,
        draws=Draws(seed, "training"),
        report=report,
    )
    batch = f"training on batches of {recipe.plan.batch_size} images"
    with (
        memory.needed(batch, "a smaller batch_size, fewer processes at once (--workers 1)"),
        loop.draws.step("dropout").torch_state(),
    ):
        history, overfitted = loop.run()
    return Trained(loop.result.cpu().eval(), tuple(history), overfitted)


class _Loop:
    """A training under way."""

    def __init__(
        self,
        *,
        network: nn.Module,
        data: Split,
        validation: Split,
        change: Apply,
        mix: Mix | None,
        loss: Defence,
        plan: Plan,
        draws: Draws,
        report: Callable[[float], None],
    ) -> None:
        self.network, self.data, self.validation = network, data, validation
        self.device = home(network)
        self.change, self.mix, self.loss = change, mix, loss
        self.plan, self.draws, self.report = plan, draws, report
        self.steps = max(1, len(data) // plan.batch_size)  # an epoch
        rate = plan.learning_rate
        self.adam = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.adam, rate, total_steps=plan.epochs * self.steps
        )
        self.average: AveragedModel | None = None
        if plan.averaging:
            how = get_ema_multi_avg_fn(plan.averaging)
            self.average = AveragedModel(network, multi_avg_fn=how, use_buffers=True)

    @property
    def result(self) -> nn.Module:
        """The network that is judged: with averaged weights, where they are averaged."""
        if self.average is None:
            return self.network
        averaged: nn.Module = self.average.module
        return averaged

    def run(self) -> tuple[list[Epoch], int | None]:
        """The history, and the epoch of the first catastrophic overfitting."""
        history: list[Epoch] = []
        healthy, kept, overfitted = None, self._state(), None
        for epoch in range(self.plan.epochs):
            total, batches = 0.0, self._batches(epoch)
            for part in torch.arange(self.steps).tensor_split(min(_LOOKS, self.steps)):
                total += self._part(epoch, batches, part.tolist())
                look = self._look((epoch + (int(part[-1]) + 1) / self.steps) / self.plan.epochs)
                if look is None:
                    continue
                slower = self.loss.slower()
                if not collapsed(look) or slower is self.loss:
                    healthy, kept = look, self._state()
                    continue
                overfitted = overfitted or epoch + 1
                self._restore(kept)
                self.loss = slower
            history.append(self._measured(total / self.steps, epoch, healthy))
        return history, overfitted

    def _state(self) -> dict[str, Any]:
        found = {"network": self.network.state_dict(), "adam": self.adam.state_dict()}
        if self.average is not None:
            found["average"] = self.average.state_dict()
        return copy.deepcopy(found)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        # A copy, since Adam would go on in what it is given; the schedule's numbers stay.
        adam = copy.deepcopy(state["adam"])
        for group, now in zip(adam["param_groups"], self.adam.param_groups, strict=True):
            group |= {key: now[key] for key in ("lr", "betas")}
        self.adam.load_state_dict(adam)
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _part(self, epoch: int, batches: Sequence[Tensor], steps: Sequence[int]) -> float:
        """The sum of the mean losses of these steps of an epoch."""
        total = torch.zeros((), device=self.device)
        self.network.train()
        for step in steps:
            done = (epoch + step / self.steps) / self.plan.epochs
            total += self._step(batches[step], self.draws.step(epoch), done)
            if step % 20 == 0:
                self._check(total, epoch, step)
                self.report(done)
        self._check(total, epoch, steps[-1])
        return float(total)

    def _batches(self, epoch: int) -> Sequence[Tensor]:
        """Positions of the images of each step of an epoch."""
        order = self.draws.step(epoch).step("order").order(len(self.data))
        batches: Sequence[Tensor] = order.to(self.data.labels.device).split(self.plan.batch_size)
        return batches

    def _step(self, batch: Tensor, draws: Draws, done: float) -> Tensor:
        """One step of learning; the mean loss before it."""
        own, labels = (
            draws.step("transform").at(batch),
            self.data.labels[batch].to(self.device),
        )
        images = self.change(self.data.pixels(batch).to(self.device), own)
        partner, share = None, None
        if self.mix is not None:
            images, partner, share = self.mix(images, own)

        def mean() -> Tensor:
            losses = self._losses(images, labels, draws.step("defence").at(batch), done)
            if partner is None or share is None:
                return losses.mean()
            # Of the same mixed images; a defence that attacks them does so for each label.
            others = self._losses(images, labels[partner], draws.step("defence").at(batch), done)
            return (share * losses + (1 - share) * others).mean()

        found = mean()
        self.adam.zero_grad()
        found.backward()
        if self.plan.weight_perturbation:
            moves = _uphill(self.network, self.plan.weight_perturbation)
            _moved(moves, 1)
            self.adam.zero_grad()
            mean().backward()
            _moved(moves, -1)
        self.adam.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return found.detach()

    def _losses(self, images: Images, labels: Labels, draws: Draws, done: float) -> PerImage:
        return self.loss.function(
            self.network,
            images,
            labels,
            draws=draws,
            progress=done,
            **self.loss.options,
        )

    def _check(self, total: torch.Tensor, epoch: int, step: int) -> None:
        if not bool(total.isfinite()):
            raise JobFailed(
                f"the training loss became {float(total)} in epoch {epoch + 1}, by step {step + 1}"
                "; a lower learning_rate may help"
            )

    def _measured(self, loss: float, epoch: int, look: Look | None) -> Epoch:
        draws = self.draws.step("validation").step(epoch)
        every = torch.arange(len(self.validation))

        def right(part: slice) -> tuple[float, float]:
            """How many of these images are read correctly, as they are and transformed."""
            images = self.validation.pixels(every[part]).to(self.device)
            labels = self.validation.labels[every[part]].to(self.device)
            plain = _accuracy(self.result, images, labels)
            moved = self.change(images, draws.at(every[part]))  # the same tensor without any
            other = plain if moved is images else _accuracy(self.result, moved, labels)
            return len(images) * plain, len(images) * other

        size = self.validation.hand(self.device)
        read, changed = zip(*memory.each(len(every), size, right), strict=True)
        return Epoch(
            loss=loss,
            validation=sum(read) / len(self.validation),
            transformed=sum(changed) / len(self.validation),
            single_step=look.single_step if look else None,
            several_steps=look.several_steps if look else None,
        )

    def _look(self, progress: float) -> Look | None:
        """At the network that learns, whatever is averaged; None where there is nothing to see."""
        threat = self.loss.threat_at(progress)
        if threat is None or threat.norm not in _WATCHABLE:
            return None
        few = torch.arange(min(_WATCHED, max(1, len(self.data) // 10)))
        images, labels = (
            self.data.pixels(few).to(self.device),
            self.data.labels[few].to(self.device),
        )
        shares = []
        for name, options in (("fgsm", {}), ("pgd", {"steps": 10})):
            attacked = attack.find(name, **options).run(
                self.network, images, labels, threat, draws=self.draws.step("watch")
            )
            shares.append(_accuracy(self.network, attacked, labels))
        return Look(*shares)


def collapsed(look: Look) -> bool:
    """Whether a network stands against one step and not against several.

    A small gap between the two is ordinary, and so is a larger one while the network has learned
    little; here several steps fool more than half of the many images that one step leaves standing.

    Source: Wong et al. 2020, https://arxiv.org/abs/2001.03994, section 5.2 (catastrophic
    overfitting, found by a small PGD on training images).
    """
    return look.single_step > _MANY and look.several_steps < look.single_step / 2


def _uphill(network: nn.Module, size: float) -> list[tuple[Tensor, Tensor]]:
    """For each weight, the way up its gradient, as long as that share of the weight.

    Source: Wu et al. 2020, https://arxiv.org/abs/2004.05884, section 4 (adversarial weight
    perturbation). There the attacked images are kept; here they are attacked anew at the weights
    that were moved.
    """
    found: list[tuple[Tensor, Tensor]] = []
    for weight in network.parameters():
        if weight.ndim > 1 and weight.grad is not None:
            length = weight.detach().norm() / weight.grad.norm().clamp_min(1e-12)
            found.append((weight, size * length * weight.grad))
    return found


@torch.no_grad()
def _moved(moves: Sequence[tuple[Tensor, Tensor]], sign: int) -> None:
    for weight, move in moves:
        weight.add_(move, alpha=sign)


def _accuracy(network: nn.Module, images: Images, labels: torch.Tensor) -> float:
    return 1 - float(fooled(predict(network, images), labels).float().mean())


def _on(split: Split, device: torch.device) -> Split:
    """A larger split stays where it is, and each batch is brought."""
    if split.images.numel() > _CARRIED:
        return split
    return Split(split.images.to(device), split.labels.to(device))
