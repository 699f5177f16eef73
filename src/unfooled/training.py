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

from unfooled import attack, defence, memory, model, together, transform
from unfooled.dataset import Dataset, Split
from unfooled.defence import Defence
from unfooled.errors import InvalidOption, JobFailed
from unfooled.gradients import home, predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.shapes import Images, Labels, PerImage
from unfooled.together import Together
from unfooled.transform import Apply, Mix

_WATCHED = 500  # training images, at most, on which catastrophic overfitting is looked for
_CARRIED = 2**32  # bytes of images, at most, that are brought to the device once and for all
_MANY = 0.7  # of those, which one step must leave standing
_WATCHABLE = ("Linf", "L2", "L1")  # norms of the attacks that look for it
_LOOKS = 4  # times an epoch that it is looked for
_TRIED = 4  # images on which networks are tried side by side
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
    return _trained(architecture, dataset, recipe, [seed], device, report)[0]


def train_together(
    architecture: str,
    dataset: Dataset,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    device: torch.device = _CPU,
    report: Callable[[float], None] = lambda _: None,
) -> list[Trained]:
    """As `train`, several seeds at once as one network; worth it on a GPU.

    Each starts from the weights, and meets the images in the order and as changed, that it would
    alone. Its numbers differ in their last places, which training makes larger, and dropout is
    drawn for all together.

    Raises:
        InvalidOption: `together_fits` or `teaches_together` says no.
        JobFailed: the loss of one of them became NaN or infinite, which ends all.
        OutOfMemory, UnknownName, InvalidTransform, InvalidModel: as `train`.
    """
    if not (teaches_together(recipe) and together_fits(architecture, dataset)):
        raise InvalidOption(f"networks of the recipe {recipe.name} cannot be trained together")
    return _trained(architecture, dataset, recipe, seeds, device, report)


def teaches_together(recipe: Recipe) -> bool:
    """Whether several seeds can learn at once by a recipe.

    Not where the defence looks at how its network does, or is the user's own, and not where weights
    are perturbed by their length.
    """
    name, options = recipe.defence
    own = ":" in name or defence.find(name, **options).threat is not None
    return not own and not recipe.plan.weight_perturbation


def together_fits(architecture: str, dataset: Dataset) -> bool:
    """Whether `torch.func` can put networks of an architecture side by side.

    Raises:
        OutOfMemory: memory has no room to find out.
        UnknownName, InvalidModel: there is no such architecture for these images.
    """
    few = dataset.train.pixels(torch.arange(min(_TRIED, len(dataset.train))))
    return together.fits([_built(architecture, dataset, seed) for seed in range(2)], few)


def _built(architecture: str, dataset: Dataset, seed: int) -> nn.Module:
    shape = {"channels": dataset.channels, "size": dataset.size}
    return model.build(architecture, **shape, classes=len(dataset.classes), seed=seed)


def _trained(
    architecture: str,
    dataset: Dataset,
    recipe: Recipe,
    seeds: Sequence[int],
    device: torch.device,
    report: Callable[[float], None],
) -> list[Trained]:
    shape = {"channels": dataset.channels, "size": dataset.size}
    changes = [transform.find(name, options, **shape) for name, options in recipe.transforms]
    batch = f"training on batches of {len(seeds) * recipe.plan.batch_size} images"
    remedy = "a smaller batch_size, fewer processes at once (--workers 1)"
    if len(seeds) > 1:
        remedy = f"seeds one by one (no --together), {remedy}"
    chance = Draws(seeds[0], "training").step("dropout")
    with memory.needed(batch, remedy), chance.torch_state():
        loop = _Loop(
            networks=[_built(architecture, dataset, seed).to(device) for seed in seeds],
            data=_on(dataset.train, device),
            validation=_on(dataset.validation, device),
            change=transform.composed(changes),
            mix=transform.mixing(changes),
            loss=defence.find(recipe.defence[0], **recipe.defence[1]),
            plan=recipe.plan,
            draws=[Draws(seed, "training") for seed in seeds],
            report=report,
        )
        history, overfitted = loop.run()
        networks = [network.cpu().eval() for network in loop.results]
    return [
        Trained(network, tuple(own), overfitted)
        for network, own in zip(networks, zip(*history, strict=True), strict=True)
    ]


class _Loop:
    """A training under way: of one network, or of several at once, each with draws of its own."""

    def __init__(
        self,
        *,
        networks: Sequence[nn.Module],
        data: Split,
        validation: Split,
        change: Apply,
        mix: Mix | None,
        loss: Defence,
        plan: Plan,
        draws: Sequence[Draws],
        report: Callable[[float], None],
    ) -> None:
        self.network = network = networks[0] if len(networks) == 1 else Together(networks)
        self.data, self.validation = data, validation
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
    def results(self) -> list[nn.Module]:
        """The networks that are judged: with averaged weights, where they are averaged."""
        judged = self.network if self.average is None else self.average.module
        return judged.apart() if isinstance(judged, Together) else [judged]

    def run(self) -> tuple[list[list[Epoch]], int | None]:
        """For each epoch what is known of each network; when one first overfitted so badly."""
        history: list[list[Epoch]] = []
        healthy, kept, overfitted = None, self._state(), None
        for epoch in range(self.plan.epochs):
            batches = self._batches(epoch)
            total = torch.zeros(len(self.draws), dtype=torch.float64)
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
            told = zip(self.results, self.draws, (total / self.steps).tolist(), strict=True)
            history.append([self._measured(*one, epoch, healthy) for one in told])
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

    def _part(self, epoch: int, batches: Sequence[Tensor], steps: Sequence[int]) -> Tensor:
        """The sum of the mean losses of these steps of an epoch, for each network."""
        total = torch.zeros(len(self.draws), device=self.device)
        self.network.train()
        for step in steps:
            done = (epoch + step / self.steps) / self.plan.epochs
            total += self._step(batches[step], epoch, done)
            if step % 20 == 0:
                self._check(total, epoch, step)
                self.report(done)
        self._check(total, epoch, steps[-1])
        return total.cpu().double()

    def _batches(self, epoch: int) -> Sequence[Tensor]:
        """Positions of the images of each step of an epoch, `[networks, batch]`."""
        orders = [own.step(epoch).step("order").order(len(self.data)) for own in self.draws]
        where = self.data.labels.device
        batches: Sequence[Tensor] = torch.stack(orders).to(where).split(self.plan.batch_size, dim=1)
        return batches

    def _step(self, batches: Tensor, epoch: int, done: float) -> Tensor:
        """One step of learning; each network's mean loss before it."""
        met = [
            self._met(batch, own.step(epoch).step("transform").at(batch))
            for batch, own in zip(batches, self.draws, strict=True)
        ]
        images, labels, *mixed = map(torch.cat, zip(*met, strict=True))
        # The first network's, also where there are several: no defence draws that trains them so.
        draws = self.draws[0].step(epoch).step("defence").at(batches.flatten())

        def loss() -> Tensor:
            losses = self._losses(images, labels, draws, done)
            if mixed:
                others, share = mixed
                # Of the same mixed images; a defence that attacks them does so for each label.
                losses = share * losses + (1 - share) * self._losses(images, others, draws, done)
            each: Tensor = losses.unflatten(0, (len(self.draws), -1)).mean(1)
            return each

        found = loss()
        self.adam.zero_grad()
        found.sum().backward()
        if self.plan.weight_perturbation:
            moves = _uphill(self.network, self.plan.weight_perturbation)
            _moved(moves, 1)
            self.adam.zero_grad()
            loss().sum().backward()
            _moved(moves, -1)
        self.adam.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return found.detach()

    def _met(self, batch: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """Images of a batch as changed, and labels; where images are mixed, others and shares."""
        labels = self.data.labels[batch].to(self.device)
        images = self.change(self.data.pixels(batch).to(self.device), draws)
        if self.mix is None:
            return images, labels
        images, partner, share = self.mix(images, draws)
        return images, labels, labels[partner], share

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
        if bool(total.isfinite().all()):
            return
        place = int((~total.isfinite()).nonzero()[0])
        whose, more = "", ""
        if len(total) > 1:
            whose = f" of seed {self.draws[place].seed}"
            more = "; one by one (no --together) it would not end the other seeds"
        raise JobFailed(
            f"the training loss{whose} became {float(total[place])} in epoch {epoch + 1}, by step "
            f"{step + 1}; a lower learning_rate may help{more}"
        )

    def _measured(
        self, network: nn.Module, draws: Draws, loss: float, epoch: int, look: Look | None
    ) -> Epoch:
        draws = draws.step("validation").step(epoch)
        every = torch.arange(len(self.validation))

        def right(part: slice) -> tuple[float, float]:
            """How many of these images are read correctly, as they are and transformed."""
            images = self.validation.pixels(every[part]).to(self.device)
            labels = self.validation.labels[every[part]].to(self.device)
            plain = _accuracy(network, images, labels)
            moved = self.change(images, draws.at(every[part]))  # the same tensor without any
            other = plain if moved is images else _accuracy(network, moved, labels)
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
                self.network, images, labels, threat, draws=self.draws[0].step("watch")
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
