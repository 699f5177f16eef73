"""A page small enough to be played in no time: two networks that compare with the mean digits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
import toys
from torch import nn

from unfooled import dataset
from unfooled.demo import hosting, opening
from unfooled.demo.playing import Asked, Game
from unfooled.demo.serving import Hall
from unfooled.recipe import Recipe
from unfooled.shapes import Images

PLACE = 3  # a test image that both read


def means(images: Images, labels: torch.Tensor) -> nn.Module:
    """Reads an image as the class whose mean it is nearest to."""
    pixels = images.flatten(1)
    weight = torch.stack([pixels[labels == digit].mean(0) for digit in range(10)])
    last = nn.Linear(pixels.shape[1], 10)
    last.load_state_dict({"weight": weight, "bias": -weight.pow(2).sum(1) / 2})
    return nn.Sequential(nn.Flatten(), last).eval()


def game() -> Game:
    """On scikit-learn's digits."""
    data = dataset.find("digits")
    images, labels = data.train.pixels(), data.train.labels
    blurred = F.avg_pool2d(images, 5, stride=1, padding=2)
    players = [
        opening.player(Recipe("plain", "Means"), "of the images", means(images, labels), data),
        opening.player(
            Recipe("blurred", "Blurred <b>means</b>", control="positive"),
            "of blurred images",
            means(blurred, labels),
            data,
        ),
    ]
    return opening.game(toys.study(), data, players, "Two networks.")


def asked(game: Game, **changes: object) -> Asked:
    """A question about a test image, by the first attack."""
    test = game.data.test
    given = {
        "image": test.pixels(torch.tensor([PLACE])),
        "label": int(test.labels[PLACE]),
        "attack": game.attacks[0],
        "eps": 0.1,
    }
    return Asked(**{**given, **changes})  # type: ignore[arg-type]


@contextmanager
def served(hall: Hall) -> Iterator[str]:
    """The address at which it is served, by the real server in a thread of this process."""
    with hosting.door("127.0.0.1", 0) as door:
        server = hosting.server(hall)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door.listening]})
        thread.start()
        try:
            yield door.address
        finally:
            server.should_exit = True
            hall.close()
            thread.join()
