import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import toys

from unfooled import training
from unfooled.dataset import Dataset
from unfooled.errors import JobFailed, UnknownName
from unfooled.gradients import predict
from unfooled.recipe import Plan, Recipe
from unfooled.training import Epoch, Trained, collapsed

PLAN = Plan(epochs=3, batch_size=40, learning_rate=0.01)
PLAIN = Recipe("plain", "Plain", plan=PLAN)
CPU = torch.device("cpu")


def train(dataset: Dataset, recipe: Recipe = PLAIN, seed: int = 0, **more: Any) -> Trained:
    return training.train("toys:pyramid", dataset, recipe, seed, device=CPU, **more)


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.model.parameters()])


def test_stripes_are_learned(striped: Dataset) -> None:
    trained = train(striped)
    read = predict(trained.model, striped.test.pixels()).argmax(1)
    assert (read == striped.test.labels).float().mean() > 0.95
    assert trained.history[-1].validation > 0.95
    assert trained.history[-1].loss < trained.history[0].loss
    assert len(trained.history) == 3
    assert not trained.model.training
    assert trained.overfitted is None


def test_equal_seeds_give_equal_weights_and_other_seeds_others(striped: Dataset) -> None:
    one, same, other = train(striped), train(striped), train(striped, seed=1)
    assert torch.equal(weights(one), weights(same))
    assert one.history == same.history
    assert not torch.equal(weights(one), weights(other))


def test_dropout_too_depends_on_the_seed_alone(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        trained = training.train("toys:dropping", striped, PLAIN, 0, device=CPU)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(weights(trained))
    assert torch.equal(*results)


def met(striped: Dataset, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The first weights and the labels of all batches that a recipe's training meets."""
    seen: list[torch.Tensor] = []
    start: list[torch.Tensor] = []
    found = training.defence.find(recipe.defence[0])

    def noted(model, images, labels, **given):
        if not start:
            start.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        seen.append(labels)
        return found.function(model, images, labels, **given)

    with monkeypatch.context() as patch:
        patch.setattr(training.defence, "find", lambda *_, **__: replace(found, function=noted))
        train(striped, recipe)
    return start[0], torch.cat(seen)


def test_recipes_are_paired_by_seed(striped: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    flips = replace(PLAIN, name="f", transforms=(("RandomHorizontalFlip", {"p": 1.0}),))
    smooth = replace(PLAIN, name="s", defence=("label_smoothing", {}))
    start, order = met(striped, PLAIN, monkeypatch)
    for recipe in (flips, smooth):
        other_start, other_order = met(striped, recipe, monkeypatch)
        assert torch.equal(other_start, start)
        assert torch.equal(other_order, order)
    assert len(order) == 3 * 240
    assert not torch.equal(order[:240], order[240:480])


def test_the_test_images_are_never_looked_at(striped: Dataset) -> None:
    blank = replace(striped, test=toys.stripes(3, "other"))
    assert torch.equal(weights(train(striped)), weights(train(blank)))


def test_transformations_change_the_training_and_are_measured_on_the_validation_images(
    striped: Dataset,
) -> None:
    dark = replace(PLAIN, transforms=(("toys:darker", {"strength": 0.0}),))
    trained = train(striped, dark)
    # Black images teach nothing: every class is as likely.
    assert trained.history[-1].loss == pytest.approx(math.log(3), abs=0.1)
    assert trained.history[-1].transformed == pytest.approx(1 / 3, abs=0.01)
    plain = train(striped)
    assert plain.history[-1].transformed == plain.history[-1].validation


def test_progress_rises_from_0_to_below_1(striped: Dataset) -> None:
    shares: list[float] = []
    train(striped, replace(PLAIN, plan=replace(PLAN, batch_size=4)), report=shares.append)
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.8 < shares[-1] < 1


def test_a_batch_larger_than_the_data_is_one_step_an_epoch(striped: Dataset) -> None:
    trained = train(striped, replace(PLAIN, plan=Plan(epochs=1, batch_size=10_000)))
    assert len(trained.history) == 1
    assert math.isfinite(trained.history[0].loss)


def test_a_loss_that_is_no_number_is_an_error_that_says_what_may_help(striped: Dataset) -> None:
    wild = replace(PLAIN, plan=Plan(epochs=2, batch_size=10, learning_rate=1e30))
    with pytest.raises(JobFailed, match=r"loss became nan in epoch \d.*lower learning_rate"):
        train(striped, wild)


def test_an_unknown_member_is_an_error(striped: Dataset) -> None:
    with pytest.raises(UnknownName):
        train(striped, replace(PLAIN, defence=("nothing", {})))
    with pytest.raises(UnknownName):
        train(striped, replace(PLAIN, transforms=(("Nothing", {}),)))


def test_adversarial_training_is_watched_and_stands_better(striped: Dataset) -> None:
    guarded = replace(
        PLAIN, plan=replace(PLAN, epochs=6), defence=("adversarial", {"eps": 0.15, "steps": 2})
    )
    trained = train(striped, guarded)
    last = trained.history[-1]
    assert last.single_step is not None
    assert last.several_steps is not None
    assert 0.5 < last.several_steps <= last.single_step + 0.05
    assert all(epoch.single_step is None for epoch in train(striped).history)


def epochs(*pairs: tuple[float, float]) -> tuple[Epoch, ...]:
    return tuple(Epoch(0.1, 0.9, 0.9, single, several) for single, several in pairs)


@pytest.mark.parametrize(
    ("history", "found"),
    [
        (epochs((0.5, 0.4), (0.9, 0.1)), True),
        (epochs((0.5, 0.4), (0.6, 0.3)), False),  # an ordinary gap
        (epochs((0.5, 0.4), (0.1, 0.1)), False),  # both fell: it simply got worse
        (epochs((0.5, 0.4), (0.9, 0.1), (0.6, 0.5)), False),  # it recovered
        (epochs((0.0, 0.0)), False),
        ((Epoch(0.1, 0.9, 0.9),), False),
    ],
)
def test_catastrophic_overfitting_is_losing_several_steps_but_not_one(
    history: tuple[Epoch, ...], found: bool
) -> None:
    assert collapsed(history) is found


def test_after_catastrophic_overfitting_the_most_robust_weights_are_kept(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    adversarial = replace(PLAIN, defence=("adversarial", {"eps": 0.1}))
    healthy = [(0.5, 0.4), (0.6, 0.5), (0.6, 0.45)]
    ill = [(0.5, 0.4), (0.6, 0.5), (0.9, 0.1)]
    kept = []
    for measured in (healthy, ill):
        values = iter([value for pair in measured for value in pair])
        after: list[torch.Tensor] = []

        def stands(loop, name, _values=values, _after=after, **options):
            if name == "fgsm":
                _after.append(torch.cat([p.detach().flatten() for p in loop.network.parameters()]))
            return next(_values)

        monkeypatch.setattr(training._Loop, "_stands", stands)
        trained = train(striped, adversarial)
        kept.append((trained.overfitted, [torch.equal(weights(trained), w) for w in after]))
    assert kept[0] == (None, [False, False, True])
    assert kept[1] == (3, [False, True, False])


def test_an_earlier_collapse_that_was_overcome_is_not_the_one_that_is_told(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [(0.5, 0.4), (0.9, 0.1), (0.6, 0.5), (0.9, 0.1), (0.9, 0.1)]
    values = iter([value for pair in measured for value in pair])
    monkeypatch.setattr(training._Loop, "_stands", lambda *_, **__: next(values))
    recipe = replace(PLAIN, plan=replace(PLAN, epochs=5), defence=("adversarial", {"eps": 0.1}))
    assert train(striped, recipe).overfitted == 4
