"""What a request may hold: JSON of exactly one shape, every number in its range."""

from typing import Annotated, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unfooled.demo.playing import Asked, Game
from unfooled.errors import InvalidInput
from unfooled.gradients import home
from unfooled.shapes import Images

_Pixel = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Change = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_Class = Annotated[int, Field(ge=0)]
_ROOM = 16 * 1024  # bytes for all that is no pixel
_NUMBER = 25  # bytes of a number and its comma, as browsers write them


_Shape = TypeVar("_Shape", bound="_Image")


class _Image(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    image: list[_Pixel]
    label: _Class | None


class _Smallest(_Image):
    attack: str
    target: _Class | None


class _Craft(_Smallest):
    eps: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    painted: list[_Change] | None


def room(game: Game) -> int:
    """Bytes that a request's body may have: an image and a painted change, and all else."""
    return _ROOM + 2 * _NUMBER * game.pixels


def craft(body: bytes, game: Game) -> Asked:
    """What `/api/craft` is asked.

    Raises:
        InvalidInput: it is not JSON of that shape, or a number is out of its range.
    """
    found = _parsed(_Craft, body)
    if found.eps > game.eps_max:
        raise InvalidInput(f"eps must be at most {game.eps_max:g}, not {found.eps:g}")
    asked = _asked(found, game)
    painted = None if found.painted is None else _image(found.painted, game)
    return Asked(asked.image, asked.label, asked.attack, asked.target, found.eps, painted)


def smallest(body: bytes, game: Game) -> Asked:
    """What `/api/smallest` is asked; refuses as `craft`."""
    return _asked(_parsed(_Smallest, body), game)


def certified(body: bytes, game: Game) -> Asked:
    """What `/api/certified` is asked; refuses as `craft`."""
    found = _parsed(_Image, body)
    return Asked(_image(found.image, game), _known(found.label, "label", game))


def _asked(found: _Smallest, game: Game) -> Asked:
    attacks = {one.name: one for one in game.attacks}
    if found.attack not in attacks:
        raise InvalidInput(f"attack must be one of {', '.join(attacks)}")
    label, target = _known(found.label, "label", game), _known(found.target, "target", game)
    return Asked(_image(found.image, game), label, attacks[found.attack], target)


def _parsed(shape: type[_Shape], body: bytes) -> _Shape:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise InvalidInput(f"{place}: {first['msg']}") from error


def _image(numbers: list[float], game: Game) -> Images:
    """`[1, c, h, w]` on the device of the networks."""
    if len(numbers) != game.pixels:
        raise InvalidInput(f"an image has {game.pixels} numbers here, not {len(numbers)}")
    data = game.data
    image = torch.tensor(numbers, dtype=torch.float32)
    return image.view(1, data.channels, data.size, data.size).to(home(game.players[0].network))


def _known(place: int | None, what: str, game: Game) -> int | None:
    if place is not None and place >= len(game.data.classes):
        raise InvalidInput(f"{what} must be below {len(game.data.classes)}, not {place}")
    return place
