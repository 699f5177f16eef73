"""A small study, trained here in seconds for whoever has no run at hand, and kept in the cache."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from unfooled import __version__, config, idx, model, shipped, store, training
from unfooled.dataset import Dataset
from unfooled.demo.opening import game, player, told
from unfooled.demo.playing import Game
from unfooled.errors import InvalidData, InvalidModel, RunRefused
from unfooled.recipe import Recipe
from unfooled.study import Study

_STUDY = "digits"  # the file whose recipes these are
_EPOCHS = 15  # of the 40 that the study itself takes: seconds


def homemade(report: Callable[[float, str], None], *, device: str) -> Game:
    """The page about the recipes of `studies/digits.toml`, each trained once.

    Args:
        report: called with the share of the work that is done, and what is done now.
        device: where the networks are trained and asked.
    """
    study, data = small(), small().data(None)
    folder = idx.cache_folder() / "demo" / _key(study, data, device)
    players = []
    for place, recipe in enumerate(study.recipes):

        def on(share: float, place: int = place, title: str = recipe.title) -> None:
            report((place + share) / len(study.recipes), title)

        on(0.0)
        content = _kept(folder / f"{recipe.name}.safetensors", study, recipe, data, device, on)
        network = model.restored(content, study.model, **_shape(data)).to(device)
        players.append(player(recipe, told(recipe), network, data))
    report(1.0, "ready")
    words = (
        f"{len(players)} networks of one kind, each trained in another way on the "
        f"{len(data.train):,} training images of {data.title}, for {_EPOCHS} epochs with seed 0."
    )
    return game(study, data, players, words)


def small() -> Study:
    """The study of the same name with fewer epochs."""
    found = config.read(shipped.file(_STUDY))
    recipes = tuple(replace(one, plan=replace(one.plan, epochs=_EPOCHS)) for one in found.recipes)
    return replace(found, recipes=recipes)


def _kept(
    path: Path,
    study: Study,
    recipe: Recipe,
    data: Dataset,
    device: str,
    on: Callable[[float], None],
) -> bytes:
    """The file of a network, from the cache if it is there and whole."""
    try:
        content = path.read_bytes()
        model.restored(content, study.model, **_shape(data))
    except (OSError, InvalidData, InvalidModel):
        place = torch.device(device)
        trained = training.train(study.model, data, recipe, 0, device=place, report=on)
        content = model.save(trained.model, {"recipe": recipe.name, "dataset": data.name})
        _keep(path, content)
    return content


def _keep(path: Path, content: bytes) -> None:
    """Where nothing can be written the networks are trained again the next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write(path, content)
    except (OSError, RunRefused):
        return


def _shape(data: Dataset) -> dict[str, int]:
    return {"channels": data.channels, "size": data.size, "classes": len(data.classes)}


def _key(study: Study, data: Dataset, device: str) -> str:
    """Of all that decides the weights."""
    recipes = [asdict(recipe) for recipe in study.recipes]
    whole = [__version__, torch.__version__, device, data.sha256, study.model, recipes]
    return hashlib.sha256(json.dumps(whole, default=str).encode()).hexdigest()[:16]
