"""adv-lib: a function for each attack, https://github.com/jeromerony/adversarial-library."""

import importlib.util
import math
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from unfooled.peer import Attack, Task, Way, chosen, in_parts

PACKAGE = "adv-lib"
INSTALL = "pip install --no-deps adv-lib"  # one of what it asks for cannot be built, see below
ALONE = {
    "pgd": "40 steps of eps / 30",
    "apgd": "100 steps along the difference of logits ratio",
    "ddn": "100 steps, with pixels rounded to 256 levels",
    "fmn": "10 steps",
}
_LENGTHS = {"Linf": math.inf, "L2": 2, "L1": 1, "L0": 0}


def adv_lib(model: nn.Module, task: Task, batch: int, seed: int) -> Way:  # noqa: ARG001
    """adv-lib: PGD, APGD, DDN and FMN, each a function."""
    with _without_curves():
        from adv_lib import attacks as library
        from adv_lib.attacks.auto_pgd import apgd

    steps, length = task.budget, _LENGTHS.get(task.norm, 2)

    def attack(eps: float) -> Attack:
        size = task.step_size(eps)

        def climb() -> Attack:
            return lambda x, y: apgd(
                model, x, y, eps, norm=length, n_iter=steps, loss_function="ce"
            )

        def nearest() -> Attack:
            return lambda x, y: library.fmn(model, x, y, norm=length, steps=steps)

        ways = {
            ("pgd", "Linf"): lambda: (
                lambda x, y: library.pgd_linf(
                    model, x, y, eps, steps=steps, absolute_step_size=size
                )
            ),
            **dict.fromkeys((("apgd", "Linf"), ("apgd", "L2"), ("apgd", "L1")), climb),
            ("ddn", "L2"): lambda: lambda x, y: library.ddn(model, x, y, steps=steps, levels=None),
            **{("fmn", norm): nearest for norm in _LENGTHS},
        }
        return chosen("adv_lib", ways, task)

    return in_parts([attack(eps) for eps in task.eps], batch)


@contextmanager
def _without_curves() -> Iterator[None]:
    """An empty visdom while it is imported: it draws curves when told to, and cannot be built."""
    missing = "visdom" not in sys.modules and importlib.util.find_spec("visdom") is None
    if missing:
        empty = types.ModuleType("visdom")
        empty.Visdom = object  # type: ignore[attr-defined]
        sys.modules["visdom"] = empty
    try:
        yield
    finally:
        if missing:
            del sys.modules["visdom"]
