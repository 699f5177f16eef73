"""Ours, asked like the others."""

from torch import Tensor, nn

from unfooled import __version__
from unfooled.peer import Task, Way

PACKAGE = "unfooled"
VERSION = __version__
INSTALL = "pip install unfooled"
_BUDGETS = {"fgsm": None, "autoattack": None, "square": "queries", "hopskipjump": "queries"}


def unfooled(model: nn.Module, task: Task, batch: int, seed: int) -> Way:  # noqa: ARG001
    """Ours: every attack of `unfooled list attacks`; it cuts the images into parts by itself."""
    from unfooled import attack
    from unfooled.randomness import Draws
    from unfooled.threat import Threat

    option = _BUDGETS.get(task.attack, "steps")
    found = attack.find(task.attack, **({option: task.budget} if option else {}))
    threats = [Threat(task.norm, eps) for eps in task.eps]

    def way(images: Tensor, labels: Tensor) -> list[Tensor]:
        results = found.sweep(model, images, labels, threats, draws=Draws(seed))
        return [one.images for one in results]

    return way
