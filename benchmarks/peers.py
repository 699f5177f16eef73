"""The libraries that attacks.py compares: those of `unfooled.peers`, and a tutorial's loop.

A library's file there imports nothing but the library and what says what a peer is, so that the
process of one library holds no other, our attacks included.
"""

from collections.abc import Callable

from torch import Tensor, nn

from unfooled.peer import Task, Way
from unfooled.peers.adv_lib import adv_lib
from unfooled.peers.art import art
from unfooled.peers.cleverhans import cleverhans
from unfooled.peers.foolbox import foolbox
from unfooled.peers.torchattacks import torchattacks
from unfooled.peers.unfooled import unfooled


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


LIBRARIES: dict[str, Callable[[nn.Module, Task, int, int], Way]] = {
    "unfooled": unfooled,
    "torchattacks": torchattacks,
    "adv-lib": adv_lib,
    "cleverhans": cleverhans,
    "foolbox": foolbox,
    "ART": art,
    "tutorial": tutorial,
}
