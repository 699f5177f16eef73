"""Which class each image shall be read as, for source/target misclassification.

`runner_up`, `least_likely` and `at_random` choose one wrong class for each image; `every` and
`fixed` also say which images take part. `find` gives any of them by the name that users type.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from unfooled import catalog
from unfooled.errors import InvalidInput, UnknownName
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits

# Which images take part, as places in the batch (one may stand there several times), and the wanted
# class of each.
Aims = tuple[Int64[Tensor, " m"], Int64[Tensor, " m"]]
Aim = Callable[[nn.Module, Images, Labels, Draws], Aims]


def runner_up(model: nn.Module, images: Images, labels: Labels, *, draws: Draws) -> Labels:  # noqa: ARG001
    """The most likely wrong class: the easiest target."""
    return _ranked(model, images, labels, -torch.inf).argmax(1)


def least_likely(model: nn.Module, images: Images, labels: Labels, *, draws: Draws) -> Labels:  # noqa: ARG001
    """The least likely wrong class: as a rule the hardest target.

    Source: Kurakin et al. 2017, https://arxiv.org/abs/1607.02533, section 2.3.
    """
    return _ranked(model, images, labels, torch.inf).argmin(1)


def at_random(model: nn.Module, images: Images, labels: Labels, *, draws: Draws) -> Labels:
    """Any wrong class, each as likely as another; "random" for users.

    It depends on the draws and the image's id alone, not on what the model says.
    """
    classes = predict(model, images[:1]).shape[1]
    one_each = torch.empty(len(images), 1, device=images.device)
    numbers = draws.step("targets").uniform(one_each)[:, 0]
    further = (numbers * (classes - 1)).long().clamp_max(classes - 2)
    return (labels + 1 + further) % classes


def every(labels: Labels, classes: int) -> Aims:
    """Each image once for each wrong class: n * (classes - 1) places, those of an image together.

    With all of them, the worst case over targets is known image by image, and so is the table of
    how often each class can be made to read as each other.
    """
    places = torch.arange(len(labels), device=labels.device).repeat_interleave(classes - 1)
    further = torch.arange(1, classes, device=labels.device).repeat(len(labels))
    return places, (labels[places] + further) % classes


def fixed(labels: Labels, wanted: int) -> Aims:
    """One class for all images but those that belong to it.

    Raises:
        InvalidInput: every image belongs to it.
    """
    places = (labels != wanted).nonzero()[:, 0]
    if not len(places):
        raise InvalidInput(
            f"the target class {wanted} is the true class of all {len(labels)} images"
        )
    return places, torch.full_like(places, wanted)


_ONE_EACH = {"runner_up": runner_up, "least_likely": least_likely, "random": at_random}


def names() -> list[str]:
    """What users may type, besides the number or the name of a class."""
    return [*_ONE_EACH, "every"]


def find(name: str | int, classes: Sequence[str] = ()) -> Aim:
    """A function from (model, images, labels, draws) to the images that take part and their aims.

    Args:
        name: one of `names`, or a class by its number or by its name.
        classes: names of the classes, in the order of the labels. Without them a class is known by
            its number alone, which nobody checks here.

    Raises:
        UnknownName: neither a way to choose nor a class; the message offers the nearest names.
    """
    text = str(name)
    if text in _ONE_EACH:
        return _for_all(_ONE_EACH[text])
    if text == "every":
        return _every
    wanted = _class(text, classes)
    return lambda model, images, labels, draws: fixed(labels, wanted)  # noqa: ARG005


def _for_all(choose: Callable[..., Labels]) -> Aim:
    def aims(model: nn.Module, images: Images, labels: Labels, draws: Draws) -> Aims:
        places = torch.arange(len(labels), device=labels.device)
        return places, choose(model, images, labels, draws=draws)

    return aims


def _every(model: nn.Module, images: Images, labels: Labels, draws: Draws) -> Aims:  # noqa: ARG001
    return every(labels, predict(model, images[:1]).shape[1])


def _class(text: str, classes: Sequence[str]) -> int:
    """A class by its name or number; a name wins, as those of the digits are their numbers."""
    if text in classes:
        return list(classes).index(text)
    if text.isdecimal() and (not classes or int(text) < len(classes)):
        return int(text)
    if classes and text.lstrip("-").isdecimal():
        raise UnknownName(
            f"there is no class {text}; the {len(classes)} classes are numbered from 0 to "
            f"{len(classes) - 1}"
        )
    raise UnknownName(f"{catalog.unknown(text, [*names(), *classes])} (targets)")


def _ranked(model: nn.Module, images: Images, labels: Labels, at_label: float) -> Logits:
    """The logits, with the true class out of the way; those that are not finite made so."""
    logits = predict(model, images).nan_to_num()
    return logits.scatter(1, labels[:, None], at_label)
