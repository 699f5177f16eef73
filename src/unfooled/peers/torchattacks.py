"""torchattacks: a class for each attack, https://github.com/Harry24k/adversarial-attacks-pytorch."""

from collections.abc import Callable
from typing import Any

from torch import nn

from unfooled.peer import Attack, Task, Way, chosen, in_parts

PACKAGE = "torchattacks"
INSTALL = "pip install torchattacks"
ALONE = {
    "pgd": "10 steps of 2/255 under Linf, of 0.2 under L2, whatever eps is",
    "apgd": "10 steps",
    "autoattack": "10 steps of its parts, where the method has 100",
    "square": "5,000 queries",
}


def torchattacks(model: nn.Module, task: Task, batch: int, seed: int) -> Way:
    """torchattacks: FGSM, PGD, APGD, Square and AutoAttack.

    Its AutoAttack takes 10 steps where the method has 100: put together anew from its parts.
    """
    import torchattacks as library

    def attack(eps: float) -> Attack:
        common = {"norm": task.norm, "eps": eps, "seed": seed}
        steps = {"steps": task.budget}
        size = {"alpha": task.step_size(eps)}

        def apgd() -> Any:
            return library.APGD(model, loss="ce", **common, **steps)

        def square() -> Any:
            return library.Square(model, n_queries=task.budget, **common)

        def together() -> Any:
            many = {"n_classes": task.classes}
            return library.MultiAttack(
                [
                    library.APGD(model, loss="ce", **common, **steps),
                    library.APGDT(model, **many, **common, **steps),
                    library.FAB(model, multi_targeted=True, **many, **common, **steps),
                    library.Square(model, n_queries=50 * task.budget, **common),
                ]
            )

        ways: dict[tuple[str, str], Callable[[], Any]] = {
            ("fgsm", "Linf"): lambda: library.FGSM(model, eps=eps),
            ("pgd", "Linf"): lambda: library.PGD(model, eps=eps, **size, **steps),
            ("pgd", "L2"): lambda: library.PGDL2(model, eps=eps, **size, **steps),
            **dict.fromkeys((("apgd", "Linf"), ("apgd", "L2")), apgd),
            **dict.fromkeys((("square", "Linf"), ("square", "L2")), square),
            **dict.fromkeys((("autoattack", "Linf"), ("autoattack", "L2")), together),
        }
        made: Attack = chosen("torchattacks", ways, task)
        return made

    return in_parts([attack(eps) for eps in task.eps], batch)
