"""Whether an attack keeps its promises, and a model what attacks need of it and what a team asks.

For those who write an attack or bring a model; no test framework is needed:

    from unfooled.testing import assert_robust, check_attack, check_model

    check_attack("mine.py:attack")
    check_model(model, images, labels)
    assert_robust(model, images, labels, eps=8 / 255, min_robust=0.4)

The first two return nothing, or raise `ContractBroken` with one sentence; the last returns nothing,
or raises an `AssertionError`, which pytest shows as a failed test.
"""

from collections.abc import Sequence

import torch
from torch import nn

from unfooled import attack as attacks
from unfooled import specimens
from unfooled.attack import Attack
from unfooled.borders import check_classes, check_input
from unfooled.errors import ContractBroken, InvalidModel
from unfooled.gradients import forward, frozen, gradient, predict
from unfooled.losses import margin
from unfooled.promises import PROMISES
from unfooled.shapes import Images, Labels, Logits
from unfooled.trial import Case

_ROUNDING = 1e-4  # share of the largest logit by which answers may differ with the batch
_ENOUGH = 10  # images of which at least one should be read correctly


def assert_robust(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    min_robust: float,
    eps: float,
    norm: str = "Linf",
    attacks: Sequence[str] = (),
    confidence: float = 0.95,
) -> None:
    """Nothing, where a model is shown to read that share of such images under attack.

    As `unfooled gate` judges: the lower end of the exact interval over the images must hold, and
    nothing serious may stand against the number.

    Args:
        model, images, labels, norm, eps, attacks: as in `unfooled.evaluate`.
        min_robust: the share, between 0 and 1.
        confidence: of the two-sided interval.

    Raises:
        AssertionError: it falls short, or cannot be judged; the message has the numbers.
        InvalidOption: a share or a confidence that is none.
        InvalidInput, InvalidModel, InvalidThreat, UnknownName, JobFailed: as `unfooled.evaluate`.
    """
    from unfooled import gate
    from unfooled.evaluating import evaluate

    gate.checked(min_robust, confidence)
    made = evaluate(model, images, labels, norm=norm, eps=eps, attacks=attacks)
    ruling = gate.floor(gate.record(made), min_robust, confidence)
    if ruling.code != gate.HELD:
        raise AssertionError(ruling.line)


def check_attack(
    attack: Attack | str, *, norm: str | None = None, targeted: bool | None = None
) -> None:
    """Nothing, where an attack keeps every promise of `attack.py` on networks of known answer.

    It runs about twenty times on twelve images of 8 x 8 pixels, with the options that it was found
    with: an attack of many queries is tried with fewer of them, as in
    `check_attack(attack.find("square", queries=200))`.

    Two runs count as equal although the batches differ when nine of ten images differ by no
    more than 1e-4 in a pixel (for a nearest attack: or by no more than 1e-4 of the distance), and
    every image is decided alike, unless it is one of those nine and lies at the boundary but for
    float rounding.

    Args:
        attack: as `attack.find` gives it, or its name, such as "pgd" or "mine.py:attack".
        norm: one of its norms; None for all of them.
        targeted: with targets, or without; None for both.

    Raises:
        ContractBroken: a promise is broken; the message says which, what came and what would do.
    """
    found = attacks.find(attack) if isinstance(attack, str) else attack
    for one in found.norms if norm is None else (norm,):
        for aimed in (False, True) if targeted is None else (targeted,):
            case = Case(found, one, aimed)
            main = case.run(specimens.smooth())
            for promise in PROMISES:
                promise(case, main)


def check_model(model: nn.Module, images: Images, labels: Labels) -> None:
    """Nothing, where a model can be attacked and what comes of it means something.

    It is asked in eval mode, and left as it was.

    Args:
        model: images in [0, 1] to logits; any normalisation inside itself.
        images: some that it should be able to read, float `[n, c, h, w]` in [0, 1].
        labels: their classes, int64 `[n]`.

    Raises:
        ContractBroken: the model cannot be attacked; the message says why and what would do.
        InvalidInput: images or labels are not what they should be.
    """
    check_input(images, labels)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = images.clone()
    try:
        with frozen(model), torch.no_grad():
            forward(model, given)
        logits = predict(model, images)
    except InvalidModel as error:
        raise ContractBroken(str(error)) from error
    if not torch.equal(images, given):
        raise ContractBroken("the model changed its input; a layer works in place: let it not")
    _check_logits(logits, labels)
    _check_answers(model, images, logits)
    _check_gradient(model, images, labels)
    state = model.state_dict()
    if changed := [name for name in before if not torch.equal(before[name], state[name])]:
        raise ContractBroken(
            f"the model changed its own {', '.join(changed)} while it was read in eval mode; "
            "let it change nothing there"
        )


def _check_logits(logits: Logits, labels: Labels) -> None:
    n, known = logits.shape
    if not logits.isfinite().all():
        bad = int((~logits.isfinite().all(1)).sum())
        raise ContractBroken(
            f"the logits are NaN or infinite for {bad} of {n} images, which no attack is to blame "
            "for; look for a division by 0, a logarithm of 0 or an overflow"
        )
    if (logits >= 0).all() and bool(((logits.sum(1) - 1).abs() < _ROUNDING).all()):
        raise ContractBroken(
            "the model returns probabilities (no number is negative, every row sums to 1), whose "
            "gradients vanish where it is sure, so that it looks robust; return the logits, "
            "without softmax"
        )
    check_classes(labels, None, known)
    if n >= _ENOUGH and not (logits.argmax(1) == labels).any():
        raise ContractBroken(
            f"the model reads none of {n} images as its label: the order of the classes, the "
            "normalisation or the range of the pixels is not the one that it was trained with"
        )


def _check_answers(model: nn.Module, images: Images, logits: Logits) -> None:
    """The same image gets the same answer, whenever it comes and whatever comes beside it."""
    near = _ROUNDING * float(logits.abs().max())
    if float((predict(model, images) - logits).abs().max()) > near:
        raise ContractBroken(
            "the model answers the same images differently the second time, in eval mode; a white "
            "box must be asked for its expectation: average over its chance inside the model"
        )
    turned = predict(model, images.flip(0)).flip(0)
    alone = predict(model, images[:1])
    if max(float((turned - logits).abs().max()), float((alone - logits[:1]).abs().max())) > near:
        raise ContractBroken(
            "the model's answer to an image depends on the images beside it, in eval mode; use "
            "running statistics there, or normalise each image by itself"
        )


def _check_gradient(model: nn.Module, images: Images, labels: Labels) -> None:
    """There is one, it is finite, and it is not zero everywhere."""
    try:
        with frozen(model):
            _, _, by_pixel = gradient(model, images, labels, None, margin)
    except InvalidModel as error:
        raise ContractBroken(str(error)) from error
    if not by_pixel.any():
        raise ContractBroken(
            "the gradient by the pixels is zero for every image, so an attack that follows it "
            "stands still and the model looks robust; remove rounding and other steps from the "
            "model, or attack it by scores or decisions alone"
        )
