"""CleverHans: a function for each attack, https://github.com/cleverhans-lab/cleverhans."""

import math

from torch import nn

from unfooled.peer import Attack, Task, Way, chosen, in_parts, iterations

PACKAGE = "cleverhans"
INSTALL = "pip install cleverhans"
ALONE = {"hopskipjump": "64 iterations, without a bound on queries"}
_SHORT = (
    "its loss is a mean over the batch, and its L2 step divides by the gradient's length or 1e-6, "
    "whichever is larger: the more images at once and the surer the network, the shorter its steps"
)
KNOWN = {("fgsm", "L2"): _SHORT, ("pgd", "L2"): _SHORT}
_LENGTHS = {"Linf": math.inf, "L2": 2}


def cleverhans(model: nn.Module, task: Task, batch: int, seed: int) -> Way:  # noqa: ARG001
    """CleverHans: FGSM, PGD and HopSkipJump, each a function."""
    from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.torch.attacks.hop_skip_jump_attack import hop_skip_jump_attack
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent

    pixels, length = {"clip_min": 0.0, "clip_max": 1.0}, _LENGTHS.get(task.norm, 2)

    def attack(eps: float) -> Attack:
        def once() -> Attack:
            return lambda x, y: fast_gradient_method(model, x, eps, length, y=y, **pixels)

        def many() -> Attack:
            size, steps = task.step_size(eps), task.budget
            return lambda x, y: projected_gradient_descent(
                model, x, eps, size, steps, length, y=y, **pixels
            )

        def hop() -> Attack:
            given = {"num_iterations": iterations(task.budget), "batch_size": batch}
            return lambda x, _: hop_skip_jump_attack(model, x, norm=2, verbose=False, **given)

        ways = {
            **{("fgsm", norm): once for norm in _LENGTHS},
            **{("pgd", norm): many for norm in _LENGTHS},
            ("hopskipjump", "L2"): hop,
        }
        return chosen("cleverhans", ways, task)

    return in_parts([attack(eps) for eps in task.eps], batch)
