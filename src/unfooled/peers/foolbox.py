"""Foolbox: a class for each attack and norm, https://github.com/bethgelab/foolbox."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from unfooled.peer import Attack, Task, Way, chosen, device_of, in_parts

PACKAGE = "foolbox"
INSTALL = "pip install foolbox"
ALONE = {
    "pgd": "40 steps of eps / 30 under Linf, 50 of eps / 40 under L2",
}


def foolbox(model: nn.Module, task: Task, batch: int, seed: int) -> Way:  # noqa: ARG001
    """Foolbox: FGSM, PGD, DDN and FMN, a class for each norm."""
    import foolbox as library
    from foolbox import attacks
    from foolbox.criteria import Misclassification

    wrapped = library.PyTorchModel(model, bounds=(0, 1), device=device_of(model))

    def attack(eps: float) -> Attack:
        steps = {"steps": task.budget}
        climb = {**steps, "abs_stepsize": task.step_size(eps), "random_start": True}
        ways: dict[tuple[str, str], Callable[[], Any]] = {
            ("fgsm", "Linf"): lambda: attacks.LinfFastGradientAttack(),
            ("fgsm", "L2"): lambda: attacks.L2FastGradientAttack(),
            ("pgd", "Linf"): lambda: attacks.LinfPGD(**climb),
            ("pgd", "L2"): lambda: attacks.L2PGD(**climb),
            ("ddn", "L2"): lambda: attacks.DDNAttack(**steps),
            ("fmn", "Linf"): lambda: attacks.LInfFMNAttack(**steps),
            ("fmn", "L2"): lambda: attacks.L2FMNAttack(**steps),
            ("fmn", "L1"): lambda: attacks.L1FMNAttack(**steps),
        }
        made = chosen("foolbox", ways, task)
        bounded = task.attack not in ("ddn", "fmn") and math.isfinite(eps)
        bound = {"epsilon": eps} if bounded else {}
        return lambda x, y: made.run(wrapped, x, Misclassification(y), **bound)

    return in_parts([attack(eps) for eps in task.eps], batch)
