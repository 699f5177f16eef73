"""The Adversarial Robustness Toolbox, https://github.com/Trusted-AI/adversarial-robustness-toolbox."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unfooled.peer import Attack, Task, Way, chosen, device_of, in_parts, iterations

PACKAGE = "adversarial-robustness-toolbox"
INSTALL = "pip install adversarial-robustness-toolbox"
ALONE = {
    "pgd": "100 steps of 0.1 without a random start, whatever eps is",
    "apgd": "100 steps, the first of 0.1 whatever eps is, from 5 starts",
    "square": "100 queries",
}
_LENGTHS = {"Linf": math.inf, "L2": 2}


class Single(nn.Module):
    """A model that takes float64 too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Of float32, whatever came."""
        found: Tensor = self.model(images.float())
        return found


def art(model: nn.Module, task: Task, batch: int, seed: int) -> Way:  # noqa: ARG001
    """The Adversarial Robustness Toolbox: FGSM, PGD, APGD, Square and HopSkipJump.

    It cuts the images into parts by itself.
    """
    from art.attacks import evasion
    from art.attacks.evasion.projected_gradient_descent import (
        projected_gradient_descent_pytorch as on_torch,
    )
    from art.estimators.classification import PyTorchClassifier

    device = device_of(model)
    # With numpy 2 its HopSkipJump arrives at float64, which a float32 network refuses.
    asked = Single(model) if task.attack == "hopskipjump" else model
    wrapped = PyTorchClassifier(
        asked,
        loss=nn.CrossEntropyLoss(),
        input_shape=task.shape,
        nb_classes=task.classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if device.type == "cpu" else "gpu",
    )

    def attack(eps: float) -> Attack:
        quiet = {"batch_size": batch, "verbose": False}
        bound = {"norm": _LENGTHS.get(task.norm, 2), "eps": eps}
        climb = {**bound, **quiet, "max_iter": task.budget}

        def once() -> Any:
            return evasion.FastGradientMethod(wrapped, batch_size=batch, **bound)

        def many() -> Any:
            return on_torch.ProjectedGradientDescentPyTorch(
                wrapped, eps_step=task.step_size(eps), num_random_init=1, **climb
            )

        def apgd() -> Any:
            return evasion.AutoProjectedGradientDescent(
                wrapped, eps_step=2 * eps, nb_random_init=1, loss_type="cross_entropy", **climb
            )

        def hop() -> Any:
            count = iterations(task.budget)
            return evasion.HopSkipJump(wrapped, norm=2, max_iter=count, **quiet)

        ways: dict[tuple[str, str], Callable[[], Any]] = {
            **{("fgsm", norm): once for norm in _LENGTHS},
            **{("pgd", norm): many for norm in _LENGTHS},
            **{("apgd", norm): apgd for norm in _LENGTHS},
            **{
                ("square", norm): lambda: evasion.SquareAttack(wrapped, **climb)
                for norm in _LENGTHS
            },
            ("hopskipjump", "L2"): hop,
        }
        made = chosen("art", ways, task)
        return lambda x, y: torch.from_numpy(made.generate(x.cpu().numpy(), y.cpu().numpy()))

    return in_parts([attack(eps) for eps in task.eps], 1 << 30)
