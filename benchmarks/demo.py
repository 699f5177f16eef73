"""How long the page of `unfooled demo` waits for an answer, asked over HTTP as the page asks.

`python benchmarks/demo.py --run DIR --write` measures on a run of five recipes.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import torch
from section import publish, table

from unfooled.demo import hosting, opening, playing
from unfooled.demo.playing import Game
from unfooled.demo.serving import Hall

WANTED = 100  # milliseconds of a move of the slider under FGSM, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a study's folder")
    parser.add_argument("--data", type=Path, help="folder of its data files")
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    told = parser.parse_args()
    hosting.share_cores()
    game = opening.of_run(told.run, data=told.data, device="cpu")
    hall = Hall(game)
    with hosting.door("127.0.0.1", 0) as door:
        server = hosting.server(hall)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door.listening]})
        thread.start()
        try:
            with httpx.Client(base_url=door.address, timeout=120, trust_env=False) as client:
                rows = measured(client, game, told.moves)
        finally:
            server.should_exit = True
            hall.close()
            thread.join()
    words = (
        f"Milliseconds from a question to its whole answer, on {len(game.players)} networks of "
        f"{game.data.title}; threads for attacks: {torch.get_num_threads()}, and as many for "
        "proofs. A move of the slider is a question of its own; wanted under FGSM: at most "
        f"{WANTED}. Processor time is of the whole process, server and networks."
    )
    head = ("question", "asked", "median", "95 % within", "processor, median")
    basis = f"n = {told.moves} moves of the slider, over {game.data.title}'s first test images"
    publish(
        "demo",
        "The page where you draw",
        basis,
        f"{words}\n\n{table(head, rows)}",
        write=told.write,
    )


def measured(client: httpx.Client, game: Game, moves: int) -> list[list[str]]:
    """A row for each kind of question."""
    rows, attacks = [], playing.about(game)["attacks"]
    for one in attacks:
        few = moves if one["knows"] == "gradients" else max(1, moves // 10)
        do = partial(move, client, game, one["name"])
        rows.append(row(f"{one['title']}, a move", few, do))
    for one in attacks[:2]:
        do = partial(smallest, client, one["name"])
        rows.append(row(f"{one['title']}, smallest eps", max(1, moves // 10), do))
    rows.append(row("certified eps", max(1, moves // 30), partial(certified, client)))
    return rows


def move(client: httpx.Client, game: Game, attack: str, number: int) -> None:
    eps = game.eps_max * (number % 60 + 1) / 60
    how = {"attack": attack, "eps": eps, "target": None, "painted": None}
    ask(client, "craft", {**sample(client, number // 10), **how})


def smallest(client: httpx.Client, attack: str, number: int) -> None:
    ask(client, "smallest", {**sample(client, number), "attack": attack, "target": None})


def certified(client: httpx.Client, number: int) -> None:
    ask(client, "certified", sample(client, number))


def sample(client: httpx.Client, place: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/sample/{place}").json()
    return found


def ask(client: httpx.Client, name: str, body: dict[str, Any]) -> None:
    answer = client.post(f"/api/{name}", json=body)
    assert "results" in json.loads(answer.text.splitlines()[-1]), answer.text[:300]


def row(words: str, times: int, do: Callable[[int], None]) -> list[str]:
    """Wall and processor time of so many questions, after one that is not counted."""
    do(0)
    walls, busy = [], []
    for number in range(times):
        start, used = time.perf_counter(), time.process_time()
        do(number)
        walls.append(1000 * (time.perf_counter() - start))
        busy.append(1000 * (time.process_time() - used))
    late = quantiles(walls, n=20)[-1] if len(walls) > 1 else walls[0]
    return [words, str(times), *(f"{one:,.0f}" for one in (median(walls), late, median(busy)))]


if __name__ == "__main__":
    main()
