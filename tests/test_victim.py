import math
from collections.abc import Callable

import pytest
import torch
import toys
from torch import nn

from unfooled import gradients
from unfooled.errors import InvalidModel
from unfooled.gradients import frozen
from unfooled.losses import cross_entropy, fooled, margin
from unfooled.memory import Room
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.victim import Batch, Passes, Rows, Victim


def never(rows: Rows, images: Images, logits: Logits) -> torch.Tensor:
    return torch.zeros_like(rows, dtype=torch.bool)


def victim(model: nn.Module, labels: Labels, knows: str = "gradients", part: int = 250) -> Victim:
    """One that calls an attempt a success when it is misread."""

    def misread(rows: Rows, images: Images, logits: Logits) -> torch.Tensor:
        return fooled(logits, labels[rows])

    return Victim(model.eval(), knows, Passes.none(labels), misread, Room(part))


@pytest.fixture
def batch(net: nn.Module, images: Images) -> Batch:
    labels = toys.read_by(net, images)
    return Batch.of(victim(net, labels), images, labels, None, Draws(0))


def counts(batch: Batch) -> Passes:
    found: Passes = batch.model.passes
    return found


def test_at_the_start_nothing_has_been_asked(labels: Labels) -> None:
    none = Passes.none(labels)
    assert none.forward.tolist() == none.backward.tolist() == [0] * 24
    assert none.until.tolist() == [-1] * 24


def test_a_forward_pass_counts_one_for_each_row(batch: Batch) -> None:
    batch.logits(batch.images)
    batch.fooled(batch.images)
    batch.misread(torch.zeros(24, 3))
    assert counts(batch).forward.tolist() == [2] * 24
    assert counts(batch).backward.tolist() == [0] * 24


def test_a_gradient_counts_one_pass_each_way(batch: Batch) -> None:
    batch.gradient(batch.images, cross_entropy)
    assert counts(batch).forward.tolist() == counts(batch).backward.tolist() == [1] * 24


def test_a_jacobian_counts_a_gradient_for_every_class(batch: Batch) -> None:
    batch.jacobian(batch.images)
    assert counts(batch).forward.tolist() == [1] * 24
    assert counts(batch).backward.tolist() == [3] * 24


def test_passes_are_counted_for_the_rows_that_are_kept(batch: Batch) -> None:
    left = batch.keep(torch.arange(24) % 2 == 0)
    left = left.keep(torch.tensor([3, 1]))  # rows 6 and 2 of the whole
    assert left.places.tolist() == [6, 2]
    left.logits(left.images)
    left.gradient(left.images, margin)
    expected = torch.zeros(24, dtype=torch.int64)
    expected[[2, 6]] = 2
    assert torch.equal(counts(batch).forward, expected)
    assert torch.equal(counts(batch).backward, expected // 2)


def test_a_row_that_is_asked_several_times_at_once_counts_each_time(batch: Batch) -> None:
    rows = torch.tensor([0, 5, 5, 5, 1])
    some = batch.keep(torch.arange(10, 20))
    some.logits(some.images[rows], rows)
    some.fooled(some.images[rows], rows)
    expected = torch.zeros(24, dtype=torch.int64)
    expected[[10, 15, 11]] = torch.tensor([2, 6, 2])
    assert torch.equal(counts(batch).forward, expected)


def test_a_row_that_is_asked_several_times_is_judged_by_its_own_label(batch: Batch) -> None:
    rows = torch.tensor([4, 0, 4])
    logits = batch.logits(batch.images[rows], rows)
    assert torch.equal(logits.argmax(1), batch.labels[rows])
    assert not batch.fooled(batch.images[rows], rows).any()
    wrong = (batch.labels + 1) % 3
    assert batch.aimed(wrong).fooled(batch.images[rows], rows).tolist() == [False] * 3
    assert batch.aimed(batch.labels).fooled(batch.images[rows], rows).all()


def test_until_is_the_count_at_the_first_success_and_stays(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    batch = Batch.of(victim(plane, labels), images, labels, None, Draws(0))
    batch.logits(images)
    mixed = images.clone()
    mixed[:5] = 1 - mixed[:5]  # the plane's other side
    batch.logits(mixed)
    batch.gradient(1 - images, margin)
    batch.logits(images)
    assert counts(batch).until.tolist() == [2] * 5 + [3] * 19
    assert counts(batch).forward.tolist() == [4] * 24


def test_success_is_what_the_judge_of_the_victim_says(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    asked: list[list[int]] = []

    def second(rows: Rows, attempts: Images, logits: Logits) -> torch.Tensor:
        assert len(rows) == len(attempts) == len(logits)
        asked.append(rows.tolist())
        return rows == 2

    model = Victim(net.eval(), "gradients", Passes.none(labels), second, Room(250))
    batch = Batch.of(model, images, labels, None, Draws(0)).keep(torch.tensor([7, 2]))
    for _ in range(2):
        batch.logits(batch.images)
    assert asked == [[7, 2], [7]]  # who has succeeded is not judged again
    assert model.passes.until[2] == 1
    assert model.passes.until[7] == -1


@pytest.mark.parametrize("part", [1, 5, 24, 1000])
def test_the_size_of_the_parts_changes_no_result_and_no_count(
    net: nn.Module, images: Images, part: int
) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    whole, parts = (
        Batch.of(victim(net, labels, part=size), images, labels, targets, Draws(0))
        for size in (24, part)
    )
    for one, two in zip(
        whole.gradient(images, margin), parts.gradient(images, margin), strict=True
    ):
        torch.testing.assert_close(one, two)
    for one, two in zip(whole.jacobian(images), parts.jacobian(images), strict=True):
        torch.testing.assert_close(one, two)
    rows = torch.arange(24).repeat(3)
    torch.testing.assert_close(whole.logits(images[rows], rows), parts.logits(images[rows], rows))
    for name in ("forward", "backward", "until"):
        assert torch.equal(getattr(counts(whole), name), getattr(counts(parts), name))


def test_no_pass_is_larger_than_a_part_and_none_is_a_small_rest(images: Images) -> None:
    sizes = []

    class Noting(nn.Module):
        def forward(self, images: Images) -> Logits:
            sizes.append(len(images))
            return images.flatten(1)[:, :2]

    labels = torch.zeros(24, dtype=torch.int64)
    Batch.of(victim(Noting(), labels, part=10), images, labels, None, Draws(0)).logits(images)
    assert sizes == [8, 8, 8]


def test_the_gradient_is_that_of_the_loss_with_the_rows_own_labels_and_targets(
    net: nn.Module, images: Images
) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    batch = Batch.of(victim(net, labels), images, labels, targets, Draws(0))
    rows = torch.tensor([9, 3, 4])
    left = batch.keep(rows)
    found = left.gradient(left.images, cross_entropy)
    with frozen(net):
        expected = gradients.gradient(net, images[rows], labels[rows], targets[rows], cross_entropy)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_the_jacobian_holds_the_gradient_of_every_logit(plane: toys.Plane, images: Images) -> None:
    labels = toys.read_by(plane, images)
    batch = Batch.of(victim(plane, labels), images, labels, None, Draws(0))
    logits, by_pixel = batch.jacobian(images)
    torch.testing.assert_close(logits, plane(images).detach())
    half = plane.weight.detach() / 2
    torch.testing.assert_close(by_pixel.flatten(2)[:, 0], -half.expand(24, -1))
    torch.testing.assert_close(by_pixel.flatten(2)[:, 1], half.expand(24, -1))


@pytest.mark.parametrize("knows", ["scores", "decisions", "nothing"])
def test_a_black_box_gets_no_gradient(net: nn.Module, images: Images, knows: str) -> None:
    labels = toys.read_by(net, images)
    batch = Batch.of(victim(net, labels, knows), images, labels, None, Draws(0))
    assert not batch.model(images.clone().requires_grad_()).requires_grad
    for wanted in (lambda: batch.gradient(images, margin), lambda: batch.jacobian(images)):
        with pytest.raises(InvalidModel, match="gives no gradient"):
            wanted()


def test_scores_are_the_logits(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    batch = Batch.of(victim(net, labels, "scores"), images, labels, None, Draws(0))
    assert torch.equal(batch.logits(images), net(images).detach())


@pytest.mark.parametrize("knows", ["decisions", "nothing"])
def test_decisions_are_the_class_and_no_more(net: nn.Module, images: Images, knows: str) -> None:
    labels = toys.read_by(net, images)
    batch = Batch.of(victim(net, labels, knows), images, labels, None, Draws(0))
    assert torch.equal(batch.logits(images), torch.eye(3)[labels])
    assert not batch.fooled(images).any()


@pytest.mark.parametrize("knows", ["scores", "decisions"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_reads_as_nothing_counts_as_misread_for_a_black_box_too(
    net: nn.Module, images: Images, knows: str, bad: float
) -> None:
    class Broken(nn.Module):
        def forward(self, images: Images) -> Logits:
            return net(images) * torch.tensor([1.0, 1.0, bad])

    labels = toys.read_by(net, images)
    batch = Batch.of(victim(Broken(), labels, knows), images, labels, None, Draws(0))
    assert batch.fooled(images).all()
    assert counts(batch).until.tolist() == [1] * 24


@pytest.mark.parametrize("knows", ["gradients", "scores", "decisions", "nothing"])
def test_the_weights_of_a_victim_are_not_within_reach(net: nn.Module, knows: str) -> None:
    labels = torch.zeros(24, dtype=torch.int64)
    sealed = victim(net, labels, knows)
    assert not list(sealed.parameters())
    assert not list(sealed.children())
    assert not sealed.state_dict()


def test_asked_directly_the_whole_batch_is_counted_row_by_row(
    net: nn.Module, images: Images
) -> None:
    labels = toys.read_by(net, images)
    model = victim(net, labels)
    assert torch.equal(model(images), net(images))
    assert model.passes.forward.tolist() == [1] * 24


@pytest.mark.parametrize(("n", "each"), [(1, 1), (23, 1), (25, 2), (48, 2), (49, 3)])
def test_asked_directly_about_others_no_row_is_counted_too_low(
    net: nn.Module, n: int, each: int
) -> None:
    labels = torch.zeros(24, dtype=torch.int64)
    model = victim(net, labels)
    model(toys.pictures(n))
    assert model.passes.forward.tolist() == [each] * 24


def test_a_victim_of_some_rows_counts_for_those(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    model = victim(net, labels)
    some = model.on(torch.tensor([20, 10])).on(torch.tensor([1]))  # row 10 of the whole
    inner = Batch.of(some, images[10:11], labels[10:11], None, Draws(0))
    inner.gradient(inner.images, margin)
    inner.jacobian(inner.images)
    some(images[10:11])
    some(images[10:13])
    assert int(model.passes.forward[10]) == int(model.passes.forward.sum()) == 1 + 1 + 1 + 3
    assert int(model.passes.backward[10]) == int(model.passes.backward.sum()) == 4
    inner.fooled(1 - images[10:11])
    assert (model.passes.until >= 0).sum() <= 1


def test_keep_takes_everything_that_belongs_to_a_row(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    ids = torch.arange(24) * 10
    batch = Batch.of(net.eval(), images, labels, targets, Draws(0, ids=ids))
    rows = torch.tensor([5, 2, 11])
    mask = torch.zeros(24, dtype=torch.bool)
    mask[rows] = True
    for kept, places in ((batch.keep(rows), rows), (batch.keep(mask), rows.sort().values)):
        assert len(kept) == 3
        assert torch.equal(kept.places, places)
        assert torch.equal(kept.images, images[places])
        assert torch.equal(kept.labels, labels[places])
        assert kept.targets is not None
        assert torch.equal(kept.targets, targets[places])
        assert torch.equal(kept.draws.uniform(kept.images), batch.draws.uniform(images)[places])


def test_draws_without_ids_keep_the_numbers_of_the_whole_batch(
    net: nn.Module, images: Images
) -> None:
    labels = toys.read_by(net, images)
    batch = Batch.of(net, images, labels, None, Draws(0))
    twice = batch.keep(torch.arange(24) >= 8).keep(torch.tensor([3]))
    assert torch.equal(twice.draws.uniform(twice.images), Draws(0).uniform(images)[11:12])


def test_a_model_that_is_no_victim_is_asked_all_the_same(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    batch = Batch.of(net.eval(), images, labels, None, Draws(0))
    torch.testing.assert_close(batch.logits(images), net(images).detach())
    logits, by_pixel = batch.jacobian(images)
    assert logits.shape == (24, 3)
    assert by_pixel.shape == (24, 3, 1, 8, 8)


@pytest.mark.parametrize("ask", [Batch.logits, Batch.fooled])
def test_logits_carry_no_gradient_even_of_images_that_want_one(
    batch: Batch, ask: Callable[[Batch, Images], torch.Tensor]
) -> None:
    assert not ask(batch, batch.images.clone().requires_grad_()).requires_grad


def test_gradients_are_taken_where_they_are_switched_off_and_leave_the_images_alone(
    batch: Batch,
) -> None:
    with torch.no_grad():
        found = batch.gradient(batch.images, margin)
        classes = batch.jacobian(batch.images)
    assert not any(tensor.requires_grad for tensor in (*found, *classes))
    assert not batch.images.requires_grad
    assert batch.images.grad is None
