import pytest
import torch
import toys
from torch import nn

from unfooled import targets
from unfooled.errors import InvalidInput, UnknownName
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits


class Always(nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images: Images) -> Logits:
        return self.logits.expand(len(images), -1)


RANKED = Always(1.0, 4.0, 3.0, 2.0)
LABELS = torch.tensor([1, 2, 0, 3])
FOUR = toys.pictures(4)


def test_the_runner_up_is_the_likeliest_of_the_wrong_classes() -> None:
    chosen = targets.runner_up(RANKED, FOUR, LABELS, draws=Draws(0))
    assert chosen.tolist() == [2, 1, 1, 1]


def test_the_least_likely_is_never_the_label() -> None:
    chosen = targets.least_likely(RANKED, FOUR, LABELS, draws=Draws(0))
    assert chosen.tolist() == [0, 0, 3, 0]


@pytest.mark.parametrize("choose", [targets.runner_up, targets.least_likely, targets.at_random])
def test_with_two_classes_the_target_is_the_other(choose: object) -> None:
    labels = torch.tensor([0, 1, 0, 1])
    chosen = choose(toys.plane(), FOUR, labels, draws=Draws(0))  # type: ignore[operator]
    assert chosen.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("choose", [targets.runner_up, targets.least_likely])
def test_logits_that_are_not_finite_still_give_a_wrong_class(choose: object, bad: float) -> None:
    chosen = choose(Always(bad, bad, bad, bad), FOUR, LABELS, draws=Draws(0))  # type: ignore[operator]
    assert (chosen != LABELS).all()
    assert ((chosen >= 0) & (chosen < 4)).all()


def test_random_targets_are_spread_evenly_over_the_wrong_classes() -> None:
    labels = torch.arange(4000) % 4
    chosen = targets.at_random(RANKED, toys.pictures(4000), labels, draws=Draws(0))
    counts = torch.bincount(4 * labels + chosen, minlength=16).view(4, 4)
    assert (counts.diagonal() == 0).all()
    wrong = counts[~torch.eye(4, dtype=torch.bool)]
    assert ((wrong - 1000 / 3).abs() < 80).all()  # five standard deviations


def test_random_targets_belong_to_the_image_not_to_the_batch() -> None:
    labels, images = torch.arange(40) % 4, toys.pictures(40)
    whole = targets.at_random(RANKED, images, labels, draws=Draws(3))
    some = torch.tensor([30, 2, 17])
    few = targets.at_random(RANKED, images[some], labels[some], draws=Draws(3, ids=some))
    assert torch.equal(few, whole[some])
    assert not torch.equal(whole, targets.at_random(RANKED, images, labels, draws=Draws(4)))


def test_every_gives_each_image_each_wrong_class_once() -> None:
    places, wanted = targets.every(LABELS, 4)
    pairs = set(zip(places.tolist(), wanted.tolist(), strict=True))
    assert len(pairs) == len(places) == 12
    assert pairs == {(i, k) for i in range(4) for k in range(4) if k != LABELS[i]}
    assert places.tolist() == sorted(places.tolist())


def test_a_fixed_target_leaves_out_the_images_of_that_class() -> None:
    places, wanted = targets.fixed(LABELS, 2)
    assert places.tolist() == [0, 2, 3]
    assert wanted.tolist() == [2, 2, 2]


def test_a_fixed_target_that_is_the_class_of_every_image_is_refused() -> None:
    with pytest.raises(InvalidInput, match="class 2 is the true class of all 3 images"):
        targets.fixed(torch.tensor([2, 2, 2]), 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("runner_up", [2, 1, 1, 1]), ("least_likely", [0, 0, 3, 0]), (0, [0, 0, 0]), ("cat", [1] * 3)],
)
def test_a_name_finds_the_choice(name: str | int, expected: list[int]) -> None:
    aim = targets.find(name, ("dog", "cat", "cow", "hen"))
    places, wanted = aim(RANKED, FOUR, LABELS, Draws(0))
    assert wanted.tolist() == expected
    assert (wanted != LABELS[places]).all()


@pytest.mark.parametrize("name", targets.names())
def test_every_name_gives_wrong_classes(name: str, net: nn.Module, images: Images) -> None:
    labels: Labels = torch.arange(len(images)) % 3
    places, wanted = targets.find(name)(net, images, labels, Draws(0))
    assert (wanted != labels[places]).all()
    assert len(places) == len(wanted) == len(images) * (2 if name == "every" else 1)


def test_the_name_of_a_class_wins_over_its_number() -> None:
    _, wanted = targets.find("1", ("2", "1", "0", "3"))(RANKED, FOUR, LABELS, Draws(0))
    assert set(wanted.tolist()) == {1}
    _, wanted = targets.find("2", ("2", "1", "0", "3"))(RANKED, FOUR, LABELS, Draws(0))
    assert set(wanted.tolist()) == {0}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("runer_up", "did you mean 'runner_up'"),
        ("kat", "did you mean 'cat'"),
        ("9", "numbered from 0 to 3"),
        (-1, "numbered from 0 to 3"),
        ("", "unknown name ''"),
    ],
)
def test_an_unknown_target_is_told_with_the_nearest_names(name: str | int, said: str) -> None:
    with pytest.raises(UnknownName, match=said):
        targets.find(name, ("dog", "cat", "cow", "hen"))
