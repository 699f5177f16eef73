"""What a preprocessor is: an input defence, which changes every image before the network reads it.

Every file in `preprocessors/` holds a function of its own name, and two constants:

    def name(images, *, draws, **options) -> Images

    GRADIENT: "own" (it can be differentiated) or "identity" (it cannot, or not usefully, and the
              identity stands in for it on the way back)
    RANDOM:   whether it draws numbers

Keyword-only parameters with a default are the options.

Input defences are the classic way to fool oneself: they blunt the gradient, not the attack. So a
network behind one is always attacked through it. What has no useful gradient is passed by a
stand-in (BPDA). What is random is averaged over draws that stand once and for all, for the attack
and the judge alike (EOT): the defended network is that mean, and no image is read by luck.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from unfooled import catalog
from unfooled.errors import InvalidOption
from unfooled.obfuscated import bpda, identity, mean
from unfooled.randomness import Draws
from unfooled.shapes import Images, Logits

GIVEN = ("draws",)  # keyword parameters of every preprocessor that are no options
SAMPLES = 10  # draws of a random one


@dataclass(frozen=True)
class Preprocessor:
    """An input defence with its options set.

    Attributes:
        name: as users write it.
        function: see this file's docstring.
        backward: what stands in for it on the way back; None where it has a gradient of its own.
        random: whether it draws numbers.
        options: what differs from the function's defaults.
    """

    name: str
    function: Callable[..., Images]
    backward: Callable[[Images], Images] | None
    random: bool
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def all_options(self) -> dict[str, Any]:
        """Every option with its value, given or default."""
        return {**catalog.options(self.function, GIVEN), **self.options}

    def before(self, model: nn.Module, draws: Draws) -> nn.Module:
        """The model behind it, with these draws."""
        layer = partial(self.function, draws=draws, **self.options)
        if self.backward is None:
            return _Behind(layer, model)
        return bpda(layer, model, self.backward)


def find(name: str, /, **options: Any) -> Preprocessor:
    """The preprocessor of that name, or the user's own `file.py:function`.

    A user's own without the two constants counts as random and without a useful gradient. A random
    one of theirs is called image by image, and draws the same for each, from `draws` or from torch;
    one that says that it is not is taken at its word, and the audit looks whether that holds.

    Raises:
        UnknownName: there is none.
        InvalidOption: it has no such option, or the value is of another kind.
    """
    home, function = catalog.module("preprocessors", name), catalog.function("preprocessors", name)
    if "draws" not in inspect.signature(function).parameters:
        raise InvalidOption(
            f"{name} is no preprocessor: it takes no draws; one is name(images, *, draws, ...)"
        )
    catalog.check_options(name, function, options, GIVEN)
    own = getattr(home, "GRADIENT", "identity") == "own"
    random = bool(getattr(home, "RANDOM", True))
    function = _alike(function) if ":" in name and random else function
    return Preprocessor(name, function, None if own else identity, random, options)


def _alike(function: Callable[..., Images]) -> Callable[..., Images]:
    """A user's function, so that no image's result depends on the others or on the moment."""

    @functools.wraps(function)
    def apply(images: Images, *, draws: Draws, **options: Any) -> Images:
        found = []
        for image in images.split(1):
            with draws.torch_state():
                found.append(function(image, draws=draws, **options))
        return torch.cat(found) if found else images

    return apply


def defended(model: nn.Module, preprocessors: Sequence[Preprocessor]) -> nn.Module:
    """The model behind all of them, the first in front, so that attacks pass through.

    Where one is random, its logits are their mean over `SAMPLES` draws, the same for every image.
    """
    samples = SAMPLES if any(one.random for one in preprocessors) else 1
    return mean([_defended(model, preprocessors, Draws(one, "input")) for one in range(samples)])


def _defended(model: nn.Module, preprocessors: Sequence[Preprocessor], draws: Draws) -> nn.Module:
    for place, one in reversed(list(enumerate(preprocessors))):
        model = one.before(model, draws.step(place))
    return model


class _Behind(nn.Module):
    """A model that is shown changed images."""

    def __init__(self, layer: Callable[[Images], Images], model: nn.Module) -> None:
        super().__init__()
        self.layer, self.model = layer, model

    def forward(self, images: Images) -> Logits:
        found: Logits = self.model(self.layer(images))
        return found
