import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import toys

from unfooled import catalog, defence, model, training
from unfooled.dataset import Dataset
from unfooled.errors import InvalidOption, JobFailed, UnknownName
from unfooled.gradients import predict
from unfooled.recipe import Plan, Recipe
from unfooled.training import Look, Trained, collapsed

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


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (Look(0.9, 0.1), True),
        (Look(0.6, 0.4), False),  # an ordinary gap
        (Look(0.4, 0.1), False),  # it has learned little yet
        (Look(0.1, 0.1), False),
        (Look(0.0, 0.0), False),
    ],
)
def test_catastrophic_overfitting_is_standing_against_one_step_but_not_several(
    look: Look, *, found: bool
) -> None:
    assert collapsed(look) is found


def looked(
    striped: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    looks: Sequence[Look],
    steps: int = 1,
) -> tuple[Trained, list[torch.Tensor], list[int]]:
    """A training that finds these looks, its weights at each, and the steps it took after each."""
    values, after, taken = iter(looks), list[torch.Tensor](), list[int]()

    def look(loop: Any, progress: float) -> Look:
        after.append(torch.cat([p.detach().flatten() for p in loop.network.parameters()]))
        taken.append(loop.loss.all_options["steps"])
        return next(values)

    monkeypatch.setattr(training._Loop, "_look", look)
    recipe = replace(
        PLAIN,
        plan=replace(PLAN, epochs=2),
        defence=("adversarial", {"eps": 0.1, "steps": steps, "step_size": 1.0}),
    )
    return train(striped, recipe), after, taken


WELL, ILL = Look(0.6, 0.5), Look(0.9, 0.1)


def test_after_catastrophic_overfitting_it_goes_on_from_the_look_before_with_twice_the_steps(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, after, taken = looked(striped, monkeypatch, [WELL] * 4 + [WELL, ILL] + [WELL] * 2)
    assert trained.overfitted == 2
    assert taken == [1] * 6 + [2] * 2
    assert trained.history[-1].several_steps == WELL.several_steps
    assert torch.equal(weights(trained), after[-1])
    trained, after, _ = looked(striped, monkeypatch, [WELL] * 7 + [ILL])
    assert torch.equal(weights(trained), after[6])


def test_it_starts_anew_where_no_look_was_well(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, _, taken = looked(striped, monkeypatch, [ILL] * 2 + [WELL] * 6)
    assert trained.overfitted == 1
    assert taken[:4] == [1, 2, 4, 4]


def test_steps_are_not_doubled_for_ever(striped: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, after, taken = looked(striped, monkeypatch, [ILL] * 8, steps=3)
    assert max(taken) == 6
    assert torch.equal(weights(trained), after[-1])  # nothing is put back when nothing would change
    trained, _, taken = looked(striped, monkeypatch, [ILL] * 8, steps=10)
    assert set(taken) == {10}
    assert trained.overfitted is None


def test_healthy_training_is_left_alone(striped: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, after, taken = looked(striped, monkeypatch, [WELL] * 8)
    assert trained.overfitted is None
    assert torch.equal(weights(trained), after[-1])
    assert set(taken) == {1}


def test_the_average_of_the_weights_is_what_is_kept_and_measured(striped: Dataset) -> None:
    plain = train(striped)
    averaged = train(striped, replace(PLAIN, plan=replace(PLAN, averaging=0.9)))
    still = train(striped, replace(PLAIN, plan=replace(PLAN, averaging=1 - 1e-7)))
    first = model.build("toys:pyramid", channels=1, size=8, classes=3, seed=0)
    start = torch.cat([p.detach().flatten() for p in first.parameters()])
    assert not torch.equal(weights(averaged), weights(plain))
    assert averaged.history[-1].validation > 0.95
    # The average begins with the weights after the first step.
    assert float((weights(still) - start).abs().max()) < 0.02
    assert averaged.history[0].loss == plain.history[0].loss


def test_weights_are_perturbed_uphill_by_their_share_and_put_back(striped: Dataset) -> None:
    net = toys.net().eval()
    images, labels = toys.pictures(12), torch.arange(12) % 3
    before = [p.detach().clone() for p in net.parameters()]
    loss = torch.nn.functional.cross_entropy(net(images), labels)
    loss.backward()
    moves = training._uphill(net, 0.01)
    assert [weight.ndim for weight, _ in moves] == [2, 2]
    for weight, move in moves:
        assert float(move.norm()) == pytest.approx(0.01 * float(weight.detach().norm()), rel=1e-4)
    training._moved(moves, 1)
    assert torch.nn.functional.cross_entropy(net(images), labels) > loss
    training._moved(moves, -1)
    for weight, old in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(weight.detach(), old)
    perturbed = train(striped, replace(PLAIN, plan=replace(PLAN, weight_perturbation=0.01)))
    assert not torch.equal(weights(perturbed), weights(train(striped)))
    assert perturbed.history[-1].validation > 0.95


def test_mixed_images_are_learned_with_both_their_labels(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = replace(PLAIN, transforms=(("MixUp", {"alpha": 1.0}),))
    trained = train(striped, mixed)
    assert trained.history[-1].validation > 0.9
    # What the loss of a mixed pair cannot fall below is the entropy of its shares.
    assert trained.history[-1].loss > train(striped).history[-1].loss
    seen: list[torch.Tensor] = []
    found = training.defence.find("standard")

    def noted(model, images, labels, **given):
        seen.append(labels)
        return found.function(model, images, labels, **given)

    monkeypatch.setattr(training.defence, "find", lambda *_, **__: replace(found, function=noted))
    train(striped, replace(mixed, plan=replace(PLAN, epochs=1)))
    own, other = seen[:2]
    assert torch.equal(other, own.roll(1))


def test_after_each_of_two_collapses_the_optimiser_stands_where_it_stood(
    striped: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[torch.Tensor] = []
    restore = training._Loop._restore

    def noted(loop: Any, state: dict[str, Any]) -> None:
        restore(loop, state)
        moments.append(loop.adam.state[next(loop.network.parameters())]["exp_avg"].clone())

    monkeypatch.setattr(training._Loop, "_restore", noted)
    looked(striped, monkeypatch, [WELL] * 2 + [ILL] * 2 + [WELL] * 4)
    assert len(moments) == 2
    assert torch.equal(*moments)


@pytest.mark.parametrize(
    "options",
    [
        {"attack": "mifgsm", "eps": 0.1},
        {"attack": "spatial", "norm": "spatial", "eps": 1.0},
        {"attack": "fmn", "norm": "L0", "eps": 4.0, "warm_up": 0.0},
    ],
)
def test_any_attack_can_be_trained_against(striped: Dataset, options: dict[str, Any]) -> None:
    few = replace(striped, train=striped.train.part(0, 80))
    recipe = replace(PLAIN, plan=replace(PLAN, epochs=1), defence=("adversarial", options))
    trained = train(few, recipe)
    assert math.isfinite(trained.history[-1].loss)
    assert trained.overfitted is None


def together(
    striped: Dataset, recipe: Recipe, architecture: str = "toys:pyramid", seeds: int = 2
) -> list[Trained]:
    return training.train_together(architecture, striped, recipe, range(seeds), device=CPU)


def without_eps() -> list[str]:
    return [name for name in catalog.names("defences") if defence.find(name).threat is None]


@pytest.mark.parametrize(
    "changes",
    [
        *({"defence": (name, {})} for name in without_eps()),
        {"transforms": (("RandomRotation", {"degrees": 30}), ("CutMix", {"alpha": 1.0}))},
        {"plan": replace(PLAN, averaging=0.9)},
    ],
    ids=lambda changes: str(next(iter(changes.values())))[:20],
)
def test_seeds_that_are_trained_at_once_learn_what_each_would_alone(
    striped: Dataset, changes: dict[str, Any]
) -> None:
    recipe = replace(PLAIN, **changes)
    for seed, found in enumerate(together(striped, recipe)):
        alone = train(striped, recipe, seed)
        torch.testing.assert_close(weights(found), weights(alone), rtol=1e-2, atol=1e-3)
        for own, other in zip(found.history, alone.history, strict=True):
            assert own.loss == pytest.approx(other.loss, rel=1e-2)
            assert own.validation == pytest.approx(other.validation, abs=0.05)
        assert not found.model.training


def test_seeds_with_dropout_are_trained_at_once_too(striped: Dataset) -> None:
    one, other = (together(striped, PLAIN, "toys:dropping") for _ in range(2))
    assert torch.equal(weights(one[1]), weights(other[1]))
    assert not torch.equal(weights(one[0]), weights(one[1]))


def own_loss(model, images, labels, *, draws, progress):
    """A loss of the user's own."""
    return torch.nn.functional.cross_entropy(model(images), labels, reduction="none")


@pytest.mark.parametrize(
    "changes",
    [
        {"defence": ("adversarial", {"eps": 0.1})},
        {"defence": (f"{__file__}:own_loss", {})},
        {"plan": replace(PLAN, weight_perturbation=0.01)},
    ],
)
def test_recipes_whose_seeds_must_be_trained_one_by_one(
    striped: Dataset, changes: dict[str, Any]
) -> None:
    recipe = replace(PLAIN, **changes)
    assert training.teaches_together(PLAIN)
    assert not training.teaches_together(recipe)
    with pytest.raises(InvalidOption, match="the recipe plain cannot be trained together"):
        together(striped, recipe)


def test_a_seed_that_fails_among_others_is_told(striped: Dataset) -> None:
    with pytest.raises(JobFailed, match=r"of seed 0 became (nan|inf).*no --together"):
        together(striped, replace(PLAIN, plan=replace(PLAN, learning_rate=1e30)))
