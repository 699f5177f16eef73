import math

import pytest
import torch

from unfooled.losses import cross_entropy, fooled, margin

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 3.0]])
LABELS = torch.tensor([0, 1])
TARGETS = torch.tensor([1, 2])


def test_cross_entropy_is_that_on_paper() -> None:
    norm = math.log(math.exp(2) + 1 + math.e)
    assert float(cross_entropy(LOGITS, LABELS)[0]) == pytest.approx(norm - 2)
    assert float(cross_entropy(LOGITS, LABELS, TARGETS)[0]) == pytest.approx(-norm)


def test_margin_is_that_on_paper() -> None:
    assert margin(LOGITS, LABELS).tolist() == [-1, 0]
    assert margin(LOGITS, LABELS, TARGETS).tolist() == [-2, 0]


@pytest.mark.parametrize("loss", [cross_entropy, margin])
def test_a_loss_grows_as_the_label_loses(loss) -> None:
    nearer = LOGITS - torch.eye(3)[LABELS]
    assert (loss(nearer, LABELS) > loss(LOGITS, LABELS)).all()


@pytest.mark.parametrize("loss", [cross_entropy, margin])
def test_a_targeted_loss_grows_as_the_target_gains(loss) -> None:
    nearer = LOGITS + torch.eye(3)[TARGETS]
    assert (loss(nearer, LABELS, TARGETS) > loss(LOGITS, LABELS, TARGETS)).all()


def test_fooled_agrees_with_argmax_even_in_a_tie() -> None:
    assert fooled(LOGITS, LABELS).tolist() == [False, False]
    assert fooled(LOGITS, torch.tensor([1, 2])).tolist() == [True, True]
    assert fooled(LOGITS, LABELS, torch.tensor([2, 2])).tolist() == [False, False]
    assert fooled(LOGITS, torch.tensor([1, 0]), LABELS).tolist() == [True, True]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_read_nothing(bad: float) -> None:
    logits = torch.tensor([[5.0, bad, 0.0]])
    label, target = torch.tensor([0]), torch.tensor([1])
    assert fooled(logits, label).all()
    assert fooled(logits, label, target).all()
