import math

import numpy as np
import pytest
import torch
import toys
from torch import nn

from unfooled import evaluation, memory
from unfooled.attack import Attack, find
from unfooled.errors import InvalidInput, InvalidModel, JobFailed
from unfooled.evaluation import Evaluation, evaluate, evaluate_split, gathered, judged
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

THREATS = [Threat("Linf", 0.05), Threat("Linf", 0.1)]


FACTS = (
    *("ids", "labels", "clean", "read_as", "distance", "inside", "read_at_8bit"),
    *("inside_at_8bit", "forward", "backward", "until"),
)


def attack(function) -> Attack:
    """An attack that returns what a function makes of images and threat."""

    def run(model, images, labels, threat, *, draws, targets):
        return function(images, threat)

    return Attack("mine", run, "bounded", "gradients")


def facts(**changes: object) -> Evaluation:
    """Four images under two eps; the third is misread from the start."""
    given = {
        "attack": "mine",
        "threats": tuple(THREATS),
        "ids": np.arange(4),
        "labels": np.array([0, 1, 2, 0]),
        "targets": None,
        "clean": np.array([0, 1, 1, 0]),
        "read_as": np.array([[1, 1, 1, 0], [0, 1, 1, 2]]),
        "distance": np.full((2, 4), 0.01),
        "inside": np.ones((2, 4), dtype=bool),
        "read_at_8bit": np.array([[1, 1, 1, 0], [0, 1, 1, 0]]),
        "inside_at_8bit": np.ones((2, 4), dtype=bool),
        "forward": np.array([[3, 5, 0, 5], [3, 9, 0, 9]]),
        "backward": np.array([[2, 5, 0, 5], [2, 9, 0, 9]]),
        "until": np.array([[3, -1, 0, -1], [3, -1, 0, 9]]),
    }
    return Evaluation(**{**given, **changes})  # type: ignore[arg-type]


def test_an_image_fooled_at_a_small_eps_is_fooled_at_every_larger_one() -> None:
    found = facts()
    assert found.correct.tolist() == [True, True, False, True]
    assert found.fooled.tolist() == [[True, False, True, False], [True, False, True, True]]
    assert found.robust.tolist() == [[False, True, False, True], [False, True, False, False]]


def test_an_image_outside_the_threat_counts_as_not_fooled() -> None:
    inside = np.array([[False, True, True, True], [True, True, True, False]])
    found = facts(inside=inside)
    assert found.fooled[:, 0].tolist() == [False, False]
    assert found.robust[:, 3].tolist() == [True, True]


def test_targeted_means_read_as_the_target() -> None:
    found = facts(targets=np.array([2, 2, 0, 2]))
    assert found.fooled.tolist() == [[False, False, False, False], [False, False, False, True]]


def test_an_image_is_fooled_at_8_bits_when_the_rounded_one_is_misread_inside() -> None:
    found = facts()
    assert found.fooled_at_8bit.tolist() == [[True, False, True, False], [True, False, True, False]]
    outside = np.array([[False, True, True, True], [True, True, True, True]])
    assert not facts(inside_at_8bit=outside).fooled_at_8bit[:, 0].any()
    aimed = facts(targets=np.array([2, 2, 0, 2]), read_at_8bit=np.array([[0, 2, 1, -1]] * 2))
    assert aimed.fooled_at_8bit[0].tolist() == [False, True, False, True]


def test_evaluations_of_parts_are_gathered_to_that_of_the_whole() -> None:
    whole = gathered([facts(), facts(ids=np.arange(4, 8))], 8)
    assert whole.ids.tolist() == list(range(8))
    assert whole.threats == tuple(THREATS)
    for name in FACTS:
        assert getattr(whole, name).shape[-1] == 8
    assert whole.targets is None
    aimed = facts(targets=np.array([2, 2, 0, 2]))
    assert gathered([aimed, aimed], 8).targets.tolist() == [2, 2, 0, 2] * 2
    with pytest.raises(InvalidInput, match="no images"):
        gathered([], 0)


def test_facts_survive_as_arrays() -> None:
    for found in (facts(), facts(targets=np.array([2, 2, 0, 2]))):
        again = Evaluation.of_arrays(found.arrays())
        assert (again.attack, again.threats) == (found.attack, found.threats)
        assert (again.targets is None) == (found.targets is None)
        for name in FACTS:
            assert np.array_equal(getattr(again, name), getattr(found, name))
            assert getattr(again, name).dtype == getattr(found, name).dtype


def test_the_judge_asks_the_model_itself(plane: toys.Plane, images: Images, labels: Labels) -> None:
    found = evaluate(plane, images, labels, find("fgsm"), THREATS, draws=Draws(0))
    for row, threat in enumerate(THREATS):
        changed = find("fgsm").run(plane, images, labels, threat, draws=Draws(0))
        assert found.read_as[row].tolist() == toys.read_by(plane, changed).tolist()
        assert np.array_equal(found.distance[row], threat.distance(images, changed).numpy())
        rounded = threat.as_8bit(images, changed)
        assert found.read_at_8bit[row].tolist() == toys.read_by(plane, rounded).tolist()
        assert np.array_equal(found.inside_at_8bit[row], threat.allows(images, rounded).numpy())
    assert found.distance.dtype == np.float64
    assert found.inside.all()
    assert found.correct.all()


def test_an_image_that_was_moved_too_far_is_found_out(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    cheat = attack(lambda images, threat: 1 - images)
    found = evaluate(plane, images, labels, cheat, THREATS, draws=Draws(0))
    far = (1 - 2 * images).abs().flatten(1).amax(1).numpy()
    assert np.allclose(found.distance, far)
    assert not found.inside.any()
    assert (found.read_as != found.labels).all()
    assert found.robust.all()


def test_an_image_that_leaves_the_range_of_pixels_is_found_out(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    white = images.clone()
    white[:, :, 0, 0] = 1
    cheat = attack(lambda images, threat: images + 0.05)
    found = evaluate(plane, white, toys.read_by(plane, white), cheat, THREATS, draws=Draws(0))
    assert np.allclose(found.distance, 0.05)
    assert not found.inside.any()
    assert found.robust.all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_that_answers_with_no_number_is_never_robust(images: Images, bad: float) -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, :2] * 0 + torch.tensor([bad, 0.0])

    for label in (0, 1):
        labels = torch.full((len(images),), label)
        for name in ("fgsm", "pgd", "noise"):
            found = evaluate(Broken(), images, labels, find(name), THREATS, draws=Draws(0))
            assert (found.clean == evaluation.UNREAD).all()
            assert (found.read_as == evaluation.UNREAD).all()
            assert not found.correct.any()
            assert not found.robust.any()


def test_a_model_that_breaks_only_under_attack_is_fooled_there(images: Images) -> None:
    class Brittle(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            first = images[:, 0, 0, :1]
            broken = torch.where(first > 0.75, torch.full_like(first, math.nan), 0 * first)
            return torch.cat([first + 1, first], dim=1) + broken

    labels = torch.zeros(len(images), dtype=torch.int64)
    lift = attack(lambda images, threat: images + threat.eps)
    threat = Threat("Linf", 0.3)
    found = evaluate(Brittle(), images, labels, lift, [threat], draws=Draws(0))
    breaks = (images[:, 0, 0, 0] + 0.3 > 0.75).numpy()
    assert 0 < breaks.sum() < len(images)
    assert found.correct.all()
    assert np.array_equal(found.robust[0], ~breaks)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda images: images * math.nan, "NaN pixels"),
        (lambda images: images[:, :, 1:], r"mine returned \[24, 1, 7, 8\] for images"),
        (lambda images: images.permute(0, 2, 3, 1), r"mine returned \[24, 8, 8, 1\] for images"),
        (lambda images: torch.cat([images, images]), r"mine returned \[48, 1, 8, 8\] for images"),
        (lambda images: None, "mine returned NoneType for images"),
    ],
)
def test_an_attack_that_returns_no_images_is_an_error(
    plane: toys.Plane, images: Images, labels: Labels, function, said: str
) -> None:
    def mine(model, images, labels, threat, *, draws, targets=None):
        return function(images)

    given = Attack("mine", mine, "bounded", "gradients")
    with pytest.raises(JobFailed, match=said):
        evaluate(plane, images, labels, given, THREATS, draws=Draws(0))


def test_nothing_depends_on_how_many_images_are_judged_at_once(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = toys.pictures(50)
    labels = toys.read_by(net, images)
    labels[::5] = (labels[::5] + 1) % 3
    draws = Draws(0, "p", torch.arange(50) + 7)
    whole = evaluate(net, images, labels, find("pgd", steps=5), THREATS, draws=draws)
    monkeypatch.setattr(memory, "_MOST", 7)
    parts = evaluate(net, images, labels, find("pgd", steps=5), THREATS, draws=draws)
    assert np.array_equal(parts.read_as, whole.read_as)
    assert np.array_equal(parts.ids, whole.ids)
    assert np.allclose(parts.distance, whole.distance, atol=1e-6)


def test_passes_are_those_that_the_attack_made(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    tried = find("pgd", steps=5)
    found = evaluate(plane, images, labels, tried, THREATS, draws=Draws(0))
    swept = tried.sweep(plane, images, labels, THREATS, draws=Draws(0))
    for row, one in enumerate(swept):
        for name in ("forward", "backward", "until"):
            assert np.array_equal(getattr(found, name)[row], getattr(one.passes, name).numpy())
    assert np.array_equal(found.until >= 0, found.fooled)
    assert (found.until <= found.forward).all()


def test_a_split_is_evaluated_as_its_images_are(net: nn.Module) -> None:
    split = toys.stripes(40, "test")
    ids = torch.tensor([3, 17, 30, 5])
    tried = find("pgd", steps=3)
    targets = (split.labels[ids] + 1) % 3
    for aims in (None, targets):
        whole = evaluate(
            net,
            split.pixels(ids),
            split.labels[ids],
            tried,
            THREATS,
            draws=Draws(0).at(ids),
            targets=aims,
        )
        found = evaluate_split(net, split, ids, tried, THREATS, draws=Draws(0), targets=aims)
        for name in FACTS:
            assert np.array_equal(getattr(found, name), getattr(whole, name))


def test_the_attacked_images_come_with_the_facts(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    facts, found = judged(plane, images, labels, find("fgsm"), THREATS[::-1], draws=Draws(0))
    for row, (threat, one) in enumerate(zip(THREATS, found, strict=True)):
        assert np.array_equal(facts.distance[row], threat.distance(images, one.images).numpy())
        assert facts.read_as[row].tolist() == toys.read_by(plane, one.images).tolist()


def test_threats_are_sorted_and_ids_kept(plane: toys.Plane, images: Images, labels: Labels) -> None:
    draws = Draws(0, ids=torch.arange(24) * 3)
    found = evaluate(plane, images, labels, find("fgsm"), THREATS[::-1], draws=draws)
    assert found.threats == tuple(THREATS)
    assert found.ids.tolist() == list(range(0, 72, 3))


def test_accuracy_falls_as_eps_grows(net: nn.Module) -> None:
    images = toys.pictures(100)
    labels = toys.read_by(net, images)
    threats = [Threat("Linf", eps / 50) for eps in range(1, 8)]
    for name in ("fgsm", "pgd", "noise"):
        found = evaluate(net, images, labels, find(name), threats, draws=Draws(0))
        shares = found.robust.mean(1)
        assert (np.diff(shares) <= 0).all()


def test_targets_are_kept_and_must_be_classes_of_the_model(net: nn.Module, images: Images) -> None:
    labels = toys.read_by(net, images)
    targets = (labels + 1) % 3
    found = evaluate(net, images, labels, find("pgd"), THREATS, draws=Draws(0), targets=targets)
    assert found.targets is not None
    assert found.targets.tolist() == targets.tolist()
    assert np.array_equal(found.fooled[0], found.read_as[0] == found.targets)
    with pytest.raises(InvalidInput, match="targets reach from 3 to 3, but the model has 3"):
        evaluate(
            net,
            images,
            labels,
            find("pgd"),
            THREATS,
            draws=Draws(0),
            targets=torch.full_like(labels, 3),
        )


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_that_the_model_does_not_know_are_refused(
    plane: toys.Plane, images: Images, labels: Labels, label: int
) -> None:
    labels[3] = label
    with pytest.raises(InvalidInput, match=r"labels reach from .* but the model has 2 classes"):
        evaluate(plane, images, labels, find("fgsm"), THREATS, draws=Draws(0))


@pytest.mark.parametrize("threats", [[], [Threat("Linf", 0.1), Threat("L2", 0.1)]])
def test_an_evaluation_needs_threats_of_one_norm(
    plane: toys.Plane, images: Images, labels: Labels, threats: list[Threat]
) -> None:
    with pytest.raises(InvalidInput, match="at least one threat, and all of one norm"):
        evaluate(plane, images, labels, find("fgsm"), threats, draws=Draws(0))


def test_a_model_without_logits_is_an_error(images: Images, labels: Labels) -> None:
    with pytest.raises(InvalidModel, match="logits have the shape"):
        evaluate(nn.Identity(), images, labels, find("fgsm"), THREATS, draws=Draws(0))
