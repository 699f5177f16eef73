"""The libraries that attacks.py compares, each asked for the same attack in its own words.

Every function is a library: it prepares an attack and returns the call that is timed, from images
and labels to the attacked images for each eps. A model arrives in eval mode with its parameters
frozen, so that nobody computes weight gradients. The imports stand inside, so that the process of
one library holds no other, ours included.

Where a library offers several ways, the quickest is taken: foolbox's `run` without the judging
around it, adv-lib's DDN without rounding to 256 levels (which only lengthens its changes).
"""

import math
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

Attack = Callable[[Tensor, Tensor], Tensor]  # images and labels to attacked images
Way = Callable[[Tensor, Tensor], list[Tensor]]  # the same for each eps


@dataclass(frozen=True)
class Task:
    """What is asked for: an attack of that name, its steps or queries, and the threats."""

    attack: str
    budget: int
    norm: str
    eps: tuple[float, ...]

    def step_size(self, eps: float) -> float:
        """What PGD here takes, from which no library differs."""
        return 2.5 * eps / self.budget


def unfooled(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """Ours; it cuts the images into parts by itself."""
    from unfooled import attack
    from unfooled.randomness import Draws
    from unfooled.threat import Threat

    named = {"fgsm": None, "autoattack": None, "square": "queries", "hopskipjump": "queries"}
    option = named.get(task.attack, "steps")
    found = attack.find(task.attack, **({option: task.budget} if option else {}))
    threats = [Threat(task.norm, eps) for eps in task.eps]

    def way(images: Tensor, labels: Tensor) -> list[Tensor]:
        results = found.sweep(model, images, labels, threats, draws=Draws(seed))
        return [one.images for one in results]

    return way


def tutorial(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """PyTorch's FGSM tutorial, image by image; it tells an accuracy but returns no images."""
    import tutorial as steps

    bare = nn.Sequential(*list(model.children())[1:])

    def way(images: Tensor, labels: Tensor) -> list[Tensor]:
        normal = (images - steps.MEAN) / steps.STD
        one_by_one = list(zip(normal.split(1), labels.split(1), strict=True))
        for eps in task.eps:
            steps.fgsm_accuracy(bare, one_by_one, eps)
        return []

    return way


def torchattacks(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """Its AutoAttack takes 10 steps where the method has 100: put together anew from its parts."""
    import torchattacks as library

    def attack(eps: float) -> Attack:
        common = {"norm": task.norm, "eps": eps, "seed": seed}
        steps = {"steps": task.budget}

        def together() -> Attack:
            return library.MultiAttack(
                [
                    library.APGD(model, loss="ce", **common, **steps),
                    library.APGDT(model, n_classes=10, **common, **steps),
                    library.FAB(model, multi_targeted=True, n_classes=10, **common, **steps),
                    library.Square(model, n_queries=50 * task.budget, **common),
                ]
            )

        ways = {
            "fgsm": lambda: library.FGSM(model, eps=eps),
            "pgd": lambda: library.PGD(model, eps=eps, alpha=task.step_size(eps), **steps),
            "apgd": lambda: library.APGD(model, loss="ce", **common, **steps),
            "square": lambda: library.Square(model, n_queries=task.budget, **common),
            "autoattack": together,
        }
        return ways[task.attack]()

    return _in_parts([attack(eps) for eps in task.eps], batch)


def advlib(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """adv-lib: functions."""
    # It imports visdom to draw curves when told to; a package that cannot be built any more.
    sys.modules["visdom"] = types.ModuleType("visdom")
    sys.modules["visdom"].Visdom = object  # type: ignore[attr-defined]
    from adv_lib import attacks as library
    from adv_lib.attacks.auto_pgd import apgd

    steps = task.budget

    def attack(eps: float) -> Attack:
        size = task.step_size(eps)
        ways: dict[str, Attack] = {
            "pgd": lambda x, y: library.pgd_linf(
                model, x, y, eps, steps=steps, absolute_step_size=size
            ),
            "apgd": lambda x, y: apgd(
                model, x, y, eps, norm=math.inf, n_iter=steps, loss_function="ce"
            ),
            "ddn": lambda x, y: library.ddn(model, x, y, steps=steps, levels=None),
            "fmn": lambda x, y: library.fmn(model, x, y, norm=2, steps=steps),
        }
        return ways[task.attack]

    return _in_parts([attack(eps) for eps in task.eps], batch)


def cleverhans(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """CleverHans: functions."""
    from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.torch.attacks.hop_skip_jump_attack import hop_skip_jump_attack
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent

    pixels = {"clip_min": 0.0, "clip_max": 1.0}

    def attack(eps: float) -> Attack:
        size = task.step_size(eps)
        ways: dict[str, Attack] = {
            "fgsm": lambda x, y: fast_gradient_method(model, x, eps, np.inf, y=y, **pixels),
            "pgd": lambda x, y: projected_gradient_descent(
                model, x, eps, size, task.budget, np.inf, y=y, **pixels
            ),
            "hopskipjump": lambda x, y: hop_skip_jump_attack(
                model,
                x,
                norm=2,
                num_iterations=_iterations(task.budget),
                batch_size=batch,
                verbose=False,
            ),
        }
        return ways[task.attack]

    return _in_parts([attack(eps) for eps in task.eps], batch)


def foolbox(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """Foolbox."""
    import foolbox as library
    from foolbox import attacks
    from foolbox.criteria import Misclassification

    wrapped = library.PyTorchModel(model, bounds=(0, 1), device=next(model.parameters()).device)

    def attack(eps: float) -> Attack:
        size, steps = task.step_size(eps), task.budget
        ways = {
            "fgsm": lambda: attacks.LinfFastGradientAttack(),
            "pgd": lambda: attacks.LinfPGD(abs_stepsize=size, steps=steps, random_start=True),
            "ddn": lambda: attacks.DDNAttack(steps=steps),
            "fmn": lambda: attacks.L2FMNAttack(steps=steps),
        }
        made = ways[task.attack]()
        bound = {"epsilon": eps} if math.isfinite(eps) else {}
        return lambda x, y: made.run(wrapped, x, Misclassification(y), **bound)

    return _in_parts([attack(eps) for eps in task.eps], batch)


class Single(nn.Module):
    """A model that takes float64 too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.float())


def art(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """The Adversarial Robustness Toolbox, which cuts the images into parts by itself."""
    from art.attacks import evasion
    from art.attacks.evasion.projected_gradient_descent import (
        projected_gradient_descent_pytorch as on_torch,
    )
    from art.estimators.classification import PyTorchClassifier

    device = next(model.parameters()).device
    # With numpy 2 its HopSkipJump arrives at float64, which a float32 network refuses.
    asked = Single(model) if task.attack == "hopskipjump" else model
    wrapped = PyTorchClassifier(
        asked,
        loss=nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu" if device.type == "cpu" else "gpu",
    )

    def attack(eps: float) -> Attack:
        quiet = {"batch_size": batch, "verbose": False}
        bound = {"norm": np.inf, "eps": eps}
        ways = {
            "fgsm": lambda: evasion.FastGradientMethod(wrapped, batch_size=batch, **bound),
            "pgd": lambda: on_torch.ProjectedGradientDescentPyTorch(
                wrapped,
                eps_step=task.step_size(eps),
                max_iter=task.budget,
                num_random_init=1,
                **bound,
                **quiet,
            ),
            "apgd": lambda: evasion.AutoProjectedGradientDescent(
                wrapped,
                eps_step=2 * eps,
                max_iter=task.budget,
                nb_random_init=1,
                loss_type="cross_entropy",
                **bound,
                **quiet,
            ),
            "square": lambda: evasion.SquareAttack(wrapped, max_iter=task.budget, **bound, **quiet),
            "hopskipjump": lambda: evasion.HopSkipJump(
                wrapped, norm=2, max_iter=_iterations(task.budget), **quiet
            ),
        }
        made = ways[task.attack]()
        return lambda x, y: torch.from_numpy(made.generate(x.cpu().numpy(), y.cpu().numpy()))

    return _in_parts([attack(eps) for eps in task.eps], 1 << 30)


LIBRARIES: dict[str, Callable[[nn.Module, Task, int, int], Way]] = {
    "unfooled": unfooled,
    "torchattacks": torchattacks,
    "adv-lib": advlib,
    "cleverhans": cleverhans,
    "foolbox": foolbox,
    "ART": art,
    "tutorial": tutorial,
}


def _in_parts(attacks: list[Attack], batch: int) -> Way:
    def way(images: Tensor, labels: Tensor) -> list[Tensor]:
        parts = list(zip(images.split(batch), labels.split(batch), strict=True))
        return [torch.cat([attack(*part) for part in parts]) for attack in attacks]

    return way


def _iterations(queries: int) -> int:
    """Iterations of HopSkipJump within so many queries.

    Neither library has a bound on all queries. Iteration j asks 100 sqrt(j) times for a direction
    and about 20 times for the way back to the boundary.
    """
    asked = count = 0
    while asked <= queries:
        count += 1
        asked += int(100 * math.sqrt(count)) + 20
    return max(1, count - 1)
