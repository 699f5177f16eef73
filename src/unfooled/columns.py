"""The facts of a run as columns, for pandas, polars and whatever else reads a table."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfooled import parting, store
from unfooled.believed import attacked
from unfooled.errors import RunRefused
from unfooled.evaluation import Evaluation
from unfooled.provenance import asked, code, vetted
from unfooled.study import Study

NO_TARGET = -1  # any wrong class will do
_OF_IMAGE = ("label", "target", "clean")
_OF_THREAT = (
    *("read_as", "fooled", "robust", "distance", "inside", "read_at_8bit", "inside_at_8bit"),
    *("forward", "backward", "until"),
)


def facts(folder: Path | str, *, allow: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """What every attack did to every image: a row an image, threat, attack, recipe and seed.

    The folder is only read, and a run may be at work in it. `pandas.DataFrame(facts(folder))` and
    `polars.DataFrame(facts(folder))` make a table of it.

    Args:
        folder: of a run, which may be anybody's.
        allow: code that its study names, such as "mine.py:attack", and that may run.

    Returns:
        Columns of one length. Which row it is: `recipe` (its name), `seed`, `attack` (its title),
        `norm`, `eps`, `image` (its place among the test images). What is known: `label` (its true
        class), `target` (the class that the attack wanted, -1 for any wrong one), `clean` (what
        the network reads without attack), and under the threat `fooled`, `robust`, `read_as`,
        `distance`, `inside`, `read_at_8bit`, `inside_at_8bit`, `forward`, `backward` and `until`,
        all as `Evaluation` has them. The mean of `robust` is the report's robust accuracy.

    Raises:
        RunRefused: the folder holds no run, or one without a finished attack.
        InvalidData: a file of facts is missing or damaged.
        InvalidOption: the study names code that is not allowed.
    """
    folder = Path(folder)
    study, environment = asked(folder)
    vetted(folder, code(study), allow)
    parts = list(_parts(folder, study, len(environment["data"]["classes"])))
    if not parts:
        raise RunRefused(f"{folder}: no attack has been finished yet; finish the run first")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _parts(folder: Path, study: Study, classes: int) -> Iterator[dict[str, NDArray[Any]]]:
    """The rows of each finished attack, in the study's order."""
    kept = {name: (file, sha256) for file, (name, sha256) in store.files(folder).items()}
    whole = parting.named(kept)
    for place, recipe in enumerate(study.recipes):
        for seed in range(study.seeds):
            for sweep, used in enumerate(study.sweeps):
                name = study.job_name("attack", place, seed, sweep)
                if parts := whole.get(name):
                    contents = [store.whole(folder, *kept[part]) for part in parts]
                    yield _rows(recipe.name, seed, used.title, attacked(contents, used, classes))


def _rows(recipe: str, seed: int, attack: str, found: Evaluation) -> dict[str, NDArray[Any]]:
    """One attack on one network, threat by threat."""
    threats, n = len(found.threats), len(found.ids)
    targets = np.full(n, NO_TARGET) if found.targets is None else found.targets
    of_image = dict(zip(_OF_IMAGE, (found.labels, targets, found.clean), strict=True))
    return {
        "recipe": np.full(threats * n, recipe),
        "seed": np.full(threats * n, seed),
        "attack": np.full(threats * n, attack),
        "norm": np.full(threats * n, found.threats[0].norm),
        "eps": np.repeat([threat.eps for threat in found.threats], n),
        "image": np.tile(found.ids, threats),
        **{name: np.tile(fact, threats) for name, fact in of_image.items()},
        **{name: getattr(found, name).ravel() for name in _OF_THREAT},
    }
