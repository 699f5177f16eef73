import math
from dataclasses import replace

import played
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unfooled import attack
from unfooled.attack import Attack
from unfooled.demo import playing
from unfooled.demo.playing import Game, Player, Watch
from unfooled.errors import JobFailed
from unfooled.shapes import Images, Logits
from unfooled.threat import Threat


def test_the_page_is_told_what_there_is(game: Game) -> None:
    told = playing.about(game)
    assert told["classes"] == list("0123456789")
    assert [one["name"] for one in told["recipes"]] == ["plain", "blurred"]
    assert [one["knows"] for one in told["attacks"]] == ["gradients", "gradients", "scores"]
    assert (told["norm"], told["eps_max"], told["samples"]) == ("Linf", 0.2, 500)
    assert told["certificates"]
    assert told["drawable"]
    assert 24 <= told["box"] <= 28


def test_a_sample_is_the_test_image(game: Game) -> None:
    found = playing.sample(game, played.PLACE)
    assert found["label"] == int(game.data.test.labels[played.PLACE])
    assert len(found["image"]) == 784


@pytest.mark.parametrize("place", range(3))
def test_an_attack_is_the_librarys_own(game: Game, place: int) -> None:
    asked = played.asked(game, attack=game.attacks[place], eps=0.08)
    for one, player in zip(playing.craft(game, asked, Watch()), game.players, strict=True):
        image = torch.tensor(one["image"]).view(1, 1, 28, 28)
        assert Threat("Linf", 0.08).allows(asked.image, image)
        with torch.no_grad():
            logits = player.network(image)
        assert one["read"] == int(logits.argmax())
        assert one["fooled"] == (one["read"] != asked.label)
        assert one["probabilities"] == pytest.approx(logits.softmax(1)[0].tolist(), abs=1e-5)
        assert math.isclose(sum(one["clean_probabilities"]), 1, abs_tol=1e-5)
        assert (one["queries"] is not None) == (asked.attack.knows == "scores")


def test_eps_0_changes_nothing(game: Game) -> None:
    asked = played.asked(game, eps=0.0)
    for one in playing.craft(game, asked, Watch()):
        assert one["image"] == asked.image.flatten().tolist()
        assert not one["fooled"]


def test_queries_are_counted_while_they_are_asked(game: Game) -> None:
    asked = played.asked(game, attack=attack.find("square", queries=40), eps=0.001)
    watch = Watch()
    last = playing.craft(game, asked, watch)[-1]
    assert watch.name == "blurred"
    assert watch.passes is not None
    assert last["queries"] == int(watch.passes.forward.sum()) == 40


def test_a_painted_change_is_kept_inside_eps(game: Game) -> None:
    painted = torch.zeros(1, 1, 28, 28)
    painted[0, 0, 10:20, 5:9] = 1
    asked = played.asked(game, painted=painted, eps=0.05)
    one, other = playing.craft(game, asked, Watch())
    assert one["image"] == other["image"]
    moved = torch.tensor(one["image"]).view(1, 1, 28, 28) - asked.image
    assert float(moved.abs().max()) == pytest.approx(0.05, abs=1e-6)
    assert not moved[painted == 0].any()
    assert one["queries"] is None


def test_a_target_is_the_class_that_is_wanted(game: Game) -> None:
    label = played.asked(game).label
    target = (label + 1) % 10
    asked = played.asked(game, target=target, attack=game.attacks[1], eps=0.2)
    for one in playing.craft(game, asked, Watch()):
        assert one["fooled"] == (one["read"] == target)
    assert any(one["fooled"] for one in playing.craft(game, asked, Watch()))


def test_nothing_is_done_towards_the_class_that_it_is(game: Game) -> None:
    asked = played.asked(game, target=played.asked(game).label)
    for one in playing.craft(game, asked, Watch()):
        assert not one["fooled"]
        assert one["image"] == asked.image.flatten().tolist()
    assert [one["eps"] for one in playing.smallest(game, asked, Watch())] == [None, None]


def test_an_image_that_is_read_otherwise_than_labelled_is_fooled_without_a_change(
    game: Game,
) -> None:
    wrong = played.asked(game, label=(played.asked(game).label + 1) % 10)
    for one in playing.craft(game, wrong, Watch()):
        assert one["fooled"]
        assert one["image"] == wrong.image.flatten().tolist()


@pytest.mark.parametrize("attack", [attack.find("fgsm"), attack.find("pgd", steps=4)])
def test_the_smallest_eps_fools_and_a_smaller_one_does_not(game: Game, attack: Attack) -> None:
    asked = played.asked(game, attack=attack)
    found = playing.smallest(game, asked, Watch())
    assert all(one["eps"] is not None and 0 < one["eps"] <= 0.2 for one in found)
    for number, one in enumerate(found):
        at = played.asked(game, attack=attack, eps=one["eps"])
        assert playing.craft(game, at, Watch())[number]["fooled"]
        below = played.asked(game, attack=attack, eps=0.9 * one["eps"])
        assert not playing.craft(game, below, Watch())[number]["fooled"]


def test_what_is_certified_lies_below_what_fools(game: Game) -> None:
    """Both networks are linear, so that the two meet but for the steps of the search."""
    sure = playing.certified(game, played.asked(game), Watch())
    fell = playing.smallest(game, played.asked(game), Watch())
    for low, high in zip(sure, fell, strict=True):
        assert low["name"] == high["name"]
        assert 0 < low["eps"] <= high["eps"] < 1.25 * low["eps"]


def test_a_network_that_stands_has_no_smallest_eps(game: Game) -> None:
    asked = played.asked(game, attack=attack.find("noise"))
    assert [one["eps"] for one in playing.smallest(game, asked, Watch())] == [None, None]


class Broken(nn.Module):
    """Answers with what is no number."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :10] * torch.nan


def test_a_network_without_an_answer_reads_nothing(game: Game) -> None:
    broken = replace(game, players=(Player("broken", "Broken", "", "", Broken()),))
    (one,) = playing.craft(broken, played.asked(game), Watch())
    assert (one["read"], one["clean_read"], one["fooled"]) == (-1, -1, True)
    assert set(one["probabilities"]) == {0.0}


@pytest.mark.parametrize("target", [None, 3])
def test_what_is_read_as_nothing_never_stands(game: Game, target: int | None) -> None:
    broken = replace(game, players=(Player("broken", "Broken", "", "", Broken()),))
    asked = played.asked(game, label=None, target=target)
    assert playing.craft(broken, asked, Watch())[0]["fooled"]
    assert playing.craft(broken, replace(asked, attack=None), Watch())[0]["fooled"]
    assert playing.smallest(broken, asked, Watch()) == [{"name": "broken", "eps": 0.0}]


def test_what_nobody_waits_for_is_given_up(game: Game) -> None:
    with pytest.raises(JobFailed, match="nobody"):
        playing.craft(game, played.asked(game), Watch(stopped=True))
    with pytest.raises(JobFailed, match="too long"):
        playing.smallest(game, played.asked(game), Watch(until=0.0))


class Always(nn.Module):
    """Reads every image as one class."""

    def __init__(self, read: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(4 * F.one_hot(torch.tensor(read), 10).float())

    def forward(self, images: Images) -> Logits:
        return self.logits + 0 * images.flatten(1).sum(1, keepdim=True)


def test_what_nobody_named_is_what_most_networks_read(game: Game) -> None:
    one = game.players[0]
    players = tuple(
        replace(one, name=f"{place}", network=Always(read)) for place, read in enumerate((3, 7, 7))
    )
    asked = played.asked(game, label=None)
    found = playing.craft(replace(game, players=players), asked, Watch())
    assert [result["fooled"] for result in found] == [True, False, False]
    smallest = playing.smallest(replace(game, players=players), asked, Watch())
    assert [result["eps"] for result in smallest] == [0.0, None, None]
