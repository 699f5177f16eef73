import json

import played
import pytest
import torch

from unfooled.demo import wire
from unfooled.demo.playing import Game
from unfooled.errors import InvalidInput


def test_a_question_is_what_was_sent(game: Game) -> None:
    """Numbers as a browser writes them come back as the float32 that they were."""
    image = played.asked(game).image
    painted = torch.linspace(-1, 1, 784)
    body = {"image": image.flatten().tolist(), "label": None, "attack": "pgd", "target": 3}
    whole = {**body, "eps": 0.2, "painted": painted.tolist()}
    asked = wire.craft(json.dumps(whole).encode(), game)
    assert torch.equal(asked.image, image)
    assert asked.painted is not None
    assert torch.equal(asked.painted.flatten(), painted)
    assert (asked.label, asked.target, asked.eps) == (None, 3, 0.2)
    assert asked.attack is game.attacks[1]
    assert len(json.dumps(whole)) < wire.room(game) < 100_000


def test_each_kind_of_question_has_its_own_shape(game: Game) -> None:
    image = [0.5] * 784
    assert wire.certified(json.dumps({"image": image, "label": 3}).encode(), game).label == 3
    with pytest.raises(InvalidInput, match="attack"):
        wire.smallest(json.dumps({"image": image, "label": 3, "target": None}).encode(), game)
    body = {"image": image, "label": 3, "attack": "fgsm", "target": None, "eps": 0.1}
    with pytest.raises(InvalidInput, match="eps"):
        wire.smallest(json.dumps(body).encode(), game)
