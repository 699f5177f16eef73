"""The page as a folder of files that needs no server of its own: all happens in the browser.

The same page as the server's, with another engine in front of it: the networks as ONNX, with their
gradients written out, asked by ONNX Runtime Web, and the attacks once more in the language of
browsers.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from unfooled import __version__
from unfooled.demo import serving
from unfooled.demo.playing import Game, Player, about
from unfooled.demo.runtime import MACHINE, PACKAGE
from unfooled.errors import InvalidModel, InvalidOption
from unfooled.gradients import home, predict
from unfooled.graphed import alike, graphs

ATTACKS = ("fgsm", "pgd", "square")  # those that are written in the language of browsers
SAMPLES = 120  # test images that go along
_ABOUT = "site.json"
_SCRIPTS = ("engine.js", "worker.mjs", "attacks.mjs")
_TRIED = 4  # images on which a network is compared with what was written of it


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        files: how many.
        size: bytes of all.
        recipes: titles of those whose networks are in it.
        left_out: one sentence on each network that is not.
    """

    files: int
    size: int
    recipes: tuple[str, ...]
    left_out: tuple[str, ...]


def free(folder: Path) -> None:
    """Let only a folder pass that a page may be written to.

    Raises:
        InvalidOption: it holds something else than an earlier page, or is no folder.
    """
    with _explained(folder):
        if folder.exists() and not folder.is_dir():
            raise InvalidOption(f"{folder} is a file; --export needs a folder, which it makes")
        if folder.is_dir() and any(folder.iterdir()) and _earlier(folder) is None:
            raise InvalidOption(
                f"{folder} is not empty and holds no earlier export; name another folder"
            )


def write(game: Game, folder: Path, runtime: Mapping[str, bytes]) -> Site:
    """The page about these networks in a folder, which is made if need be.

    Args:
        game: what the page is about.
        folder: see `free`.
        runtime: see `runtime.files`.

    Raises:
        InvalidOption: as `free`, or the folder cannot be written.
        UnknownName: onnx or onnxruntime is not installed.
        InvalidModel: no network can be written as ONNX.
    """
    free(folder)
    networks, left_out = _networks(game)
    files = {
        **_samples(game),
        **{f"runtime/{name}": content for name, content in runtime.items()},
        **{name: content for parts in networks.values() for name, content in parts.items()},
    }
    arriving = {name: len(content) for name, content in files.items() if not _module(name)}
    files |= _texts(game, list(networks), left_out)
    told = _told(game, networks, left_out, arriving, sorted([*files, _ABOUT]))
    # First of all what says that the folder is ours: after a broken attempt it can be used again.
    files = {_ABOUT: json.dumps(told, indent=1).encode(), **files}
    with _explained(folder):  # what is stale goes before the list that names it
        for name in {*(_earlier(folder) or ()), *files}:
            if (folder / name).parent.is_symlink() and (folder / name).parent != folder:
                raise InvalidOption(f"{(folder / name).parent} is a link; name another folder")
            (folder / name).unlink(missing_ok=True)  # a link, too, which would lead elsewhere
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    titles = tuple(game.players[place].title for place in networks)
    return Site(len(files), sum(map(len, files.values())), titles, tuple(left_out))


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidOption(
            f"cannot write {error.filename or folder}: {error.strerror}; name another folder by "
            "--export"
        ) from error


def _earlier(folder: Path) -> list[str] | None:
    """The files of the export that the folder holds; None where it holds none."""
    try:
        told = from_json((folder / _ABOUT).read_bytes())
        names = [str(name) for name in told["written"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Whoever wrote that list, nothing outside the folder is removed.
    return [name for name in names if re.fullmatch(r"(\w+/)?\w[\w.-]*", name)]


def _networks(game: Game) -> tuple[dict[int, dict[str, bytes]], list[str]]:
    """The files of each network that can be written, by its place; a sentence on each other."""
    networks, left_out = {}, []
    for place, player in enumerate(game.players):
        try:
            networks[place] = _written(game, place, player)
        except InvalidModel as error:
            left_out.append(f"{player.title} is left out: {error}")
    if not networks:
        raise InvalidModel("none of the networks can be exported. " + " ".join(left_out))
    return networks, left_out


def _written(game: Game, place: int, player: Player) -> dict[str, bytes]:
    images = game.data.test.pixels(game.data.test.sample(_TRIED))
    # Of a class that it surely reads the loss has next to no gradient, and any would do.
    labels = predict(player.network, images.to(home(player.network))).argmin(1).cpu()
    name = f"{place}-{re.sub(r'[^A-Za-z0-9_-]', '_', player.name)}"
    with tempfile.TemporaryDirectory() as folder:
        paths = graphs(player.network, images, Path(folder), name)
        alike(player.network, images, labels, paths)
        return {f"networks/{path.name}": path.read_bytes() for path in paths}


def _samples(game: Game) -> dict[str, bytes]:
    test = game.data.test
    return {"samples.bin": test.images[test.sample(SAMPLES)].contiguous().numpy().tobytes()}


def _told(
    game: Game,
    networks: Mapping[int, Mapping[str, bytes]],
    left_out: Sequence[str],
    arriving: Mapping[str, int],
    written: Sequence[str],
) -> dict[str, Any]:
    """What engine and worker must know; the part `page` is what the page does."""
    known = [one for one in game.attacks if one.name in ATTACKS]
    which = game.data.test.sample(SAMPLES)
    page = about(game)
    recipes = [page["recipes"][place] for place in networks]
    words = " ".join([page["words"], *(f"{one}." for one in left_out)])
    attacks = [one for one in page["attacks"] if one["name"] in ATTACKS]
    page |= {"recipes": recipes, "attacks": attacks, "words": words}
    page |= {"samples": len(which), "certificates": False}
    kinds = ("graph", "gradient", "weights")
    return {
        "unfooled": __version__,
        "page": page,
        "attacks": [{"name": one.name, "options": one.all_options} for one in known],
        "networks": [
            {"name": game.players[place].name, **dict(zip(kinds, parts, strict=True))}
            for place, parts in networks.items()
        ],
        "samples": {"images": "samples.bin", "labels": game.data.test.labels[which].tolist()},
        "runtime": f"runtime/{MACHINE}",
        "files": dict(arriving),
        "written": list(written),
    }


def _module(name: str) -> bool:
    """Whether a browser loads this file by itself."""
    return name.endswith(".mjs")


def _texts(game: Game, networks: Sequence[int], left_out: Sequence[str]) -> dict[str, bytes]:
    """The page, its scripts, and what a reader of the folder should know."""
    browser = resources.files("unfooled.demo") / "browser"
    found = {name: (browser / name).read_bytes() for name in _SCRIPTS}
    found["runtime/LICENSE"] = (browser / "runtime-licence.txt").read_bytes()
    found["index.html"] = page().encode()
    titles = "\n".join(f"- {game.players[place].title}" for place in networks)
    readme = (browser / "site-readme.md").read_text(encoding="utf-8")
    missing = "".join(f"\n{one}.\n" for one in left_out)
    found["README.md"] = readme.format(
        title=game.title, networks=titles, missing=missing, runtime=PACKAGE, version=__version__
    ).encode()
    return found


def page() -> str:
    """The server's page, with the other engine in front of it and its own policy inside."""
    text, policy = serving.page()
    # A page cannot say itself who may frame it. Machine code needs a word of its own.
    policy = re.sub(r";\s*frame-ancestors [^;]*", "", policy)
    policy = policy.replace("script-src ", "script-src 'self' 'wasm-unsafe-eval' ", 1)
    policy += "; worker-src 'self'"
    first = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    for tag, before in (("title", first), ("script", '<script src="engine.js"></script>\n')):
        place = text.index(f"<{tag}")
        text = text[:place] + before + text[place:]
    return text
