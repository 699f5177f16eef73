"""What the tests of the page share."""

import played
import pytest

from unfooled.demo.playing import Game


@pytest.fixture(scope="package")
def game() -> Game:
    """Two networks on digits, FGSM, PGD and a black box."""
    return played.game()
