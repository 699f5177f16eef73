"""How long the page of `unfooled demo --export` takes for a move of the slider, in a browser.

    python benchmarks/export.py [--write]

The small study on scikit-learn's digits is asked with every attack; fresh networks of the other
models, which no attack has to work for, with FGSM alone. Needs playwright and Chromium.
"""

import argparse
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from section import publish, table

from unfooled import model
from unfooled.demo import homemade, runtime, site
from unfooled.demo.playing import Game

MODELS = ("lenet", "strided_deep", "tutorial_cnn", "resnet18")
MOVES = {"fgsm": 40, "pgd": 20, "square": 5}
TIMED = """async ([attack, moves]) => {
  const engine = window.unfooledEngine, { eps_max } = await engine.about(), found = [];
  for (let move = 0; move <= moves; move++) {
    const { image } = await engine.sample(move);
    const asked = { image, label: null, attack, target: null, painted: null };
    const start = performance.now();
    await engine.craft({ ...asked, eps: eps_max * (move + 1) / (moves + 1) }, () => {});
    found.push(performance.now() - start);
  }
  return found.slice(1);
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@contextmanager
def shown(folder: Path) -> Iterator[Page]:
    """The page in a browser, once it can be asked."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=path)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("body[data-done]", timeout=120_000)
        yield page
        browser.close()
        server.shutdown()


def row(game: Game, name: str, attacks: tuple[str, ...]) -> list[str]:
    """Megabytes of the networks, and the median and the longest move of each attack."""
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        site.write(game, Path(folder), runtime.files(None))
        weights = sum(path.stat().st_size for path in Path(folder, "networks").iterdir())
        with shown(Path(folder)) as page:
            for attack in attacks:
                times = page.evaluate(TIMED, [attack, MOVES[attack]])
                cells.append(f"{statistics.median(times):.0f} ({max(times):.0f})")
    return [name, f"{weights / 1e6:.1f}", *cells, *[""] * (len(MOVES) - len(cells))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    game = homemade.homemade(lambda share, words: None, device="cpu")
    rows = [row(game, "strided, trained", tuple(MOVES))]
    shape = {"channels": game.data.channels, "size": game.data.size, "classes": 10}
    for name in MODELS:
        players = tuple(
            replace(one, network=model.build(name, **shape, seed=seed).eval())
            for seed, one in enumerate(game.players)
        )
        rows.append(row(replace(game, players=players), name, ("fgsm",)))
    head = [
        "five networks",
        "MB",
        "FGSM",
        f"PGD-{game.attacks[1].all_options['steps']}",
        f"square, {game.attacks[2].all_options['queries']} queries at most",
    ]
    body = (
        "Milliseconds from a move of the slider until all five networks have answered, as median "
        "and in parentheses the longest, in headless Chromium with one thread; each move is "
        f"another test image and another eps.\n\n{table(head, rows)}"
    )
    basis = ", ".join(f"n = {moves} moves of {attack}" for attack, moves in MOVES.items())
    publish("export", "The page without a server", basis, body, write=write)


if __name__ == "__main__":
    main()
