"""Where the networks of a page come from: a run's folder, or a small study that is trained here."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unfooled import attack, auditing, bounds, model, provenance, store
from unfooled.dataset import Dataset, Split
from unfooled.demo.playing import NORM, Game, Player
from unfooled.errors import InvalidOption, RunRefused
from unfooled.gradients import frozen, home, predict
from unfooled.recipe import Recipe
from unfooled.study import Study
from unfooled.threat import Threat
from unfooled.worker import Worker

_EPS = {1: 0.3, 3: 8 / 255}  # the largest, by channels, where a run has none
# To be chosen on the page; the black box gets few queries, so that one waits for seconds at most.
_ATTACKS: Mapping[str, Mapping[str, Any]] = {"fgsm": {}, "pgd": {}, "square": {"queries": 500}}
_DRAWABLE = ("mnist", "digits", "emnist", "kmnist")
_INK = 0.2  # above it, a pixel belongs to what was written
_WIDEST = 8192  # numbers in a layer; the time of linear bounds grows with their square
_PATIENCE = 2.0  # seconds of computing that one bound may take
_SEEN = 500  # test images by which the usual size of the ink is told


def newest(folder: Path) -> Path | None:
    """The run that was begun last, among the folders in this one."""
    found = [one.parent for one in folder.glob("*/study.json") if list(_weights(one.parent))]
    return max(found, key=lambda one: (one / "study.json").stat().st_mtime, default=None)


def _weights(folder: Path) -> list[Path]:
    return [*folder.glob("models/*-0.safetensors"), *folder.glob("models/*-0.json")]


def of_run(folder: Path, *, data: Path | None, device: str) -> Game:
    """The networks of a study's or an evaluation's run, of each recipe that of seed 0.

    Raises:
        RunRefused: it holds no run, or none of its networks is finished.
        InvalidOption: its files name code of somebody's own, which is not run because they say so.
        UnknownName, DataMissing, InvalidData, InvalidModel: as `dataset.find`, `worker.judged`.
    """
    study, _ = provenance.asked(folder)
    if any(recipe.given is not None and not recipe.given.which for recipe in study.recipes):
        raise RunRefused(
            f"{folder}: its networks were handed over by a Python program, so there is no file to "
            "read them from"
        )
    recorded = {name: (file, sha) for file, (name, sha) in store.files(folder).items()}
    if code := auditing.code(folder):
        raise InvalidOption(
            f"{folder} names code of somebody's own, which a page does not run: {', '.join(code)}"
        )
    worker = Worker(study, data, device)
    players = []
    for place, recipe in enumerate(study.recipes):
        name = study.job_name("train", place, 0)
        if name not in recorded:
            continue
        file, sha256 = recorded[name]
        content = store.whole(folder, file, sha256)
        network = worker.judged(place, content).to(device).eval()
        note = "as it was given" if study.given else told(recipe)
        players.append(player(recipe, note, network, worker.data))
    if not players:
        raise RunRefused(f"{folder}: none of its networks is finished yet; finish the run first")
    kind = "as they were given" if study.given else "one a recipe, each with seed 0"
    words = f"The networks of {folder}: {kind}."
    return game(study, worker.data, players, words)


def game(study: Study, data: Dataset, players: Sequence[Player], words: str) -> Game:
    """The page about these networks, which were trained on these data."""
    own = [sweep.eps[-1] for sweep in study.sweeps if sweep.norm == NORM and sweep.eps[-1] > 0]
    names = [name for name in _ATTACKS if all(_takes(one.network, name, data) for one in players)]
    return Game(
        title=f"Fool it yourself: {data.title}",
        words=words,
        data=data,
        players=tuple(players),
        attacks=tuple(attack.find(name, **_ATTACKS[name]) for name in names),
        eps_max=min(1.0, max(own, default=_EPS.get(data.channels, 0.1))),
        drawable=data.name in _DRAWABLE and data.channels == 1,
        box=_box(data.test),
    )


def player(recipe: Recipe, note: str, network: nn.Module, data: Dataset) -> Player:
    """A network on the page; whether it has bounds is tried out on one image."""
    proven = copy.deepcopy(network) if _bounded(network, data) else None
    return Player(recipe.name, recipe.title, recipe.control, note, network, proven)


def told(recipe: Recipe) -> str:
    """How a recipe trains, in words."""
    parts = [_words(name, options) for name, options in recipe.transforms]
    name, options = recipe.defence
    if name != "standard":
        parts.append(f"training: {_words(name, options)}")
    parts += [f"input: {_words(name, options)}" for name, options in recipe.input]
    return "; ".join(parts) or "trained as usual"


def _words(name: str, options: Mapping[str, Any]) -> str:
    """Such as "GaussianNoise (sigma 0.3)"."""
    inside = ", ".join(f"{key} {_value(value)}" for key, value in options.items())
    called = name.rpartition(":")[2].replace("_", " ")
    return f"{called} ({inside})" if inside else called


def _value(value: Any) -> str:
    """Two ends as "0.9 to 1.1", or as one where they are the same."""
    ends = list(dict.fromkeys(value)) if isinstance(value, list | tuple) else [value]
    return " to ".join(map(str, ends))


def _takes(network: nn.Module, name: str, data: Dataset) -> bool:
    """Whether the attack can work on the network: without a gradient only a black box can."""
    if attack.find(name).knows != "gradients":
        return True
    image = data.test.pixels(torch.tensor([0])).to(home(network)).requires_grad_()
    with frozen(network), torch.enable_grad():
        return bool(network(image).requires_grad)


def _bounded(network: nn.Module, data: Dataset) -> bool:
    image = data.test.pixels(torch.tensor([0])).to(home(network))
    labels = predict(network, image).argmax(1)
    try:
        layers = model.layers(network, channels=data.channels, size=data.size)
        if max(math.prod(layer.output) for layer in layers) > _WIDEST:
            return False
        start = time.process_time()
        bounds.certified(network, image, labels, Threat(NORM, 0.01))
    except Exception:  # whatever a user's network makes of hooks and of double precision
        return False
    return time.process_time() - start < _PATIENCE


def _box(split: Split) -> int:
    """The longer side in pixels that the ink of a test image usually has."""
    ink = split.pixels(torch.arange(min(_SEEN, len(split)))).amax(1) > _INK
    sides = torch.stack([ink.any(2).sum(1), ink.any(1).sum(1)]).amax(0)
    return max(1, int(sides.median()))
