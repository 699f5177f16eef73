"""What may enter an attack: images, labels and targets that are what `shapes.py` says."""

import torch

from unfooled.errors import InvalidInput
from unfooled.shapes import Images, Labels


def check_input(images: Images, labels: Labels, targets: Labels | None = None) -> None:
    """Whether these are images in [0, 1] with a label each.

    Raises:
        InvalidInput: they are not; the message says what came and what would do.
    """
    if not isinstance(images, torch.Tensor) or not images.is_floating_point() or images.ndim != 4:
        came = (
            f"{images.dtype} {list(images.shape)}" if isinstance(images, torch.Tensor) else images
        )
        raise InvalidInput(f"images must be float [n, c, h, w] in [0, 1], not {came}")
    if images.dtype not in (torch.float32, torch.float64):
        raise InvalidInput(
            f"images must be float32 or float64, not {images.dtype}, in which a step of an attack "
            "is lost in rounding: use .float() on images and model"
        )
    if not len(images):
        raise InvalidInput("there are no images: the batch is empty")
    low, high = (float(end) for end in images.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise InvalidInput(
            f"images must lie in [0, 1]; these reach from {low:g} to {high:g}. Divide bytes by "
            "255, and put any normalisation inside the model"
        )
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes is not None and (
            classes.dtype != torch.int64 or classes.shape != images.shape[:1]
        ):
            raise InvalidInput(
                f"{name} must be int64 [{len(images)}], not {classes.dtype} {list(classes.shape)}"
            )
    if targets is not None and bool((targets == labels).any()):
        raise InvalidInput(
            f"{int((targets == labels).sum())} targets equal their labels; "
            "a target is a wrong class"
        )


def check_classes(labels: Labels, targets: Labels | None, classes: int) -> None:
    """Whether a model of so many classes knows these.

    Raises:
        InvalidInput: it does not.
    """
    for name, given in (("labels", labels), ("targets", targets)):
        if given is not None and not 0 <= int(given.min()) <= int(given.max()) < classes:
            raise InvalidInput(
                f"{name} reach from {int(given.min())} to {int(given.max())}, "
                f"but the model has {classes} classes"
            )
