import math

import pytest
import torch

from unfooled.losses import cross_entropy, dlr, fooled, log_odds, margin

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


def test_log_odds_are_those_on_paper() -> None:
    assert float(log_odds(LOGITS, LABELS)[0]) == pytest.approx(math.log(1 + math.e) - 2)
    against = math.log(math.exp(2) + math.e)
    assert float(log_odds(LOGITS, LABELS, TARGETS)[0]) == pytest.approx(-against)


def test_log_odds_lead_the_way_of_cross_entropy_and_do_not_vanish() -> None:
    for scale in (1.0, 100.0):
        logits = (scale * LOGITS).double().requires_grad_()
        ways = [
            torch.autograd.grad(one(logits, LABELS).sum(), logits)[0]
            for one in (log_odds, cross_entropy)
        ]
        unit = [way / way.norm(dim=1, keepdim=True).clamp_min(1e-300) for way in ways]
        if scale == 1:
            torch.testing.assert_close(*unit)
        assert (ways[0].norm(dim=1) > 0.5).all()


def test_the_difference_of_logits_ratio_is_that_on_paper() -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0, 0.0], [1.0, 4.0, 4.0, 0.0, 2.0]])
    labels, targets = torch.tensor([0, 4]), torch.tensor([3, 0])
    # -(5 - 3) / (5 - 2) and -(2 - 4) / (4 - 2)
    torch.testing.assert_close(dlr(logits, labels), torch.tensor([-2 / 3, 1.0]))
    # -(5 - 2) / (5 - (2 + 1) / 2) and -(2 - 1) / (4 - (2 + 1) / 2)
    expected = torch.tensor([-3 / 3.5, -1 / 2.5])
    torch.testing.assert_close(dlr(logits, labels, targets), expected)


def test_the_difference_of_logits_ratio_does_not_change_with_the_scale_or_a_shift() -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0], [1.0, 4.0, 3.5, 0.0]])
    labels, targets = torch.tensor([0, 0]), torch.tensor([3, 2])
    for aims in (None, targets):
        torch.testing.assert_close(dlr(1e4 * logits, labels, aims), dlr(logits + 7, labels, aims))


@pytest.mark.parametrize(("classes", "targets"), [(2, None), (2, True), (3, True)])
def test_with_too_few_classes_for_a_ratio_it_is_the_margin(classes: int, targets: bool) -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0]])[:, :classes]
    labels, aims = torch.tensor([0]), torch.tensor([1]) if targets else None
    assert torch.equal(dlr(logits, labels, aims), margin(logits, labels, aims))


def test_the_difference_of_logits_ratio_is_finite_where_all_logits_are_equal() -> None:
    logits = torch.ones(1, 5, requires_grad=True)
    for aims in (None, torch.tensor([1])):
        value = dlr(logits, torch.tensor([0]), aims)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


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


@pytest.mark.parametrize("loss", [cross_entropy, log_odds, margin, dlr])
def test_a_loss_of_an_image_does_not_depend_on_the_others(loss) -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0], [1.0, 4.0, 4.0, 0.0]])
    labels, targets = torch.tensor([0, 1]), torch.tensor([3, 0])
    for aims in (None, targets):
        alone = [
            loss(logits[i : i + 1], labels[i : i + 1], aims if aims is None else aims[i : i + 1])
            for i in (0, 1)
        ]
        assert torch.equal(loss(logits, labels, aims), torch.cat(alone))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_read_nothing(bad: float) -> None:
    logits = torch.tensor([[5.0, bad, 0.0]])
    label, target = torch.tensor([0]), torch.tensor([1])
    assert fooled(logits, label).all()
    assert fooled(logits, label, target).all()
