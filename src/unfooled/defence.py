"""What a defence is: the loss that training lowers.

Every file in `defences/` holds a function of its own name:

    def name(model, images, labels, *, draws, progress, **options) -> PerImage

`progress` is the share of the training that is done, 0 to 1, for what grows during training.
Keyword-only parameters with a default are the options. A defence with an option `eps` trains
against images within that eps (`norm`, Linf when it has no such option), and training watches it
for catastrophic overfitting. With `warm_up`, eps grows evenly from 0 during that share of the
training; with `start`, the growth begins after that share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unfooled import attack, catalog
from unfooled.errors import InvalidOption
from unfooled.inner import grown
from unfooled.shapes import PerImage
from unfooled.threat import Threat

_MANY_STEPS = 5  # with more, an attack inside a training is not what fails
_RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("steps", lambda value: value >= 1, "at least 1"),
    ("step_size", lambda value: value > 0, "above 0"),
    ("warm_up", lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    ("start", lambda value: 0 <= value <= 1, "a share from 0 to 1"),
)
GIVEN = ("draws", "progress")  # keyword parameters of every defence that are no options


@dataclass(frozen=True)
class Defence:
    """A defence with its options set.

    Attributes:
        name: as users write it.
        function: see this file's docstring.
        options: what differs from the function's defaults.
    """

    name: str
    function: Callable[..., PerImage]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def all_options(self) -> dict[str, Any]:
        """Every option with its value, given or default."""
        return {**catalog.options(self.function, GIVEN), **self.options}

    @property
    def passes(self) -> float:
        """Roughly how many extra passes of each batch through the network its attack takes."""
        now = self.all_options
        return attack.find(now["attack"]).cost if now.get("attack") else now.get("steps", 0)

    def slower(self) -> "Defence":
        """The same with twice the steps of half the size, for one that has few of them."""
        now = self.all_options
        takes = {"steps", "step_size"} <= now.keys() and not now.get("attack")
        if not takes or now["steps"] > _MANY_STEPS:
            return self
        changed = {"steps": 2 * now["steps"], "step_size": now["step_size"] / 2}
        return replace(self, options={**self.options, **changed})

    @property
    def threat(self) -> Threat | None:
        """What it trains against; None for a defence without eps."""
        return self.threat_at(1.0)

    def threat_at(self, progress: float) -> Threat | None:
        """What it trains against at a moment of the training: eps may grow during a warm-up."""
        options = self.all_options
        if "eps" not in options:
            return None
        start, warm_up = options.get("start", 0.0), options.get("warm_up", 0.0)
        now = grown(options["eps"], progress, warm_up, start)
        return Threat(options.get("norm", "Linf"), now)


def find(name: str, /, **options: Any) -> Defence:
    """The defence of that name, or the user's own `file.py:function`.

    Raises:
        UnknownName: there is none, or no such attack for it to train with.
        InvalidOption: it has no such option, or the value is of another kind or out of range.
        InvalidThreat: its eps or norm describes no threat.
    """
    function = catalog.function("defences", name)
    catalog.check_options(name, function, options, GIVEN)
    defence = Defence(name, function, options)
    threat = defence.threat  # raises for an impossible one
    now = defence.all_options
    for option, good, wanted in _RANGES:
        if option in now and not good(now[option]):
            raise InvalidOption(f"{name}: {option} must be {wanted}, not {now[option]}")
    if threat is not None and now.get("attack"):
        attack.find(now["attack"]).takes(threat)
    return defence
